// The finished SAE, and the files of a checkpoint, to download.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { file_link, get, path_of } from "../api/client";
import type { FileList, Training } from "../api/schema";
import { bytes } from "../format";

function Files({ query, folder }: { query: string[]; folder: string[] }) {
  const files = useQuery({ queryKey: ["trainings", ...query], queryFn: () => get<FileList>(path_of(...folder)) });
  if (files.isPending) return <p className="small">Loading …</p>;
  if (files.isError) return <p role="alert" className="error">{files.error.message}</p>;
  return (
    <ul className="files">
      {files.data.data.map(({ name, bytes: size }) => (
        <li key={name}>
          <a href={file_link(...folder, name)} download={name}>
            {name}
          </a>{" "}
          <span className="small number">{bytes(size)}</span>
        </li>
      ))}
    </ul>
  );
}

export function CheckpointFiles({ id, name }: { id: string; name: string }) {
  const [open, set_open] = useState(false);
  return (
    <details onToggle={(event) => set_open(event.currentTarget.open)}>
      <summary>Download</summary>
      {open && <Files query={[id, "checkpoints", name]} folder={["trainings", id, "checkpoints", name]} />}
    </details>
  );
}

export function Sae({ training }: { training: Training }) {
  return (
    <section className="card" aria-labelledby="sae">
      <h2 id="sae">SAE</h2>
      {training.status === "completed" ? (
        <Files query={[training.id, "sae"]} folder={["trainings", training.id, "sae"]} />
      ) : (
        <p className="small">It is written when the training completes.</p>
      )}
    </section>
  );
}
