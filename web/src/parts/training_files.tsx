// Checkpoints and the finished SAE, to download.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { file_link, get } from "../api/client";
import type { CheckpointList, FileList, Training } from "../api/schema";
import { bytes, count, moment } from "../format";
import { live } from "../live/store";

function Files({ query, folder }: { query: string[]; folder: string[] }) {
  const files = useQuery({ queryKey: ["trainings", ...query], queryFn: () => get<FileList>(folder.map(encodeURIComponent).join("/")) });
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

function CheckpointFiles({ id, name }: { id: string; name: string }) {
  const [open, set_open] = useState(false);
  return (
    <details onToggle={(event) => set_open(event.currentTarget.open)}>
      <summary>files</summary>
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

export function Checkpoints({ id }: { id: string }) {
  const queries = useQueryClient();
  useEffect(() => {
    const read = () => void queries.invalidateQueries({ queryKey: ["trainings", id, "checkpoints"] });
    return live.subscribe(`trainings/${id}/checkpoints`, { message: read, reset: read });
  }, [id, queries]);
  const list = useQuery({
    queryKey: ["trainings", id, "checkpoints"],
    queryFn: () => get<CheckpointList>(`trainings/${encodeURIComponent(id)}/checkpoints`),
  });
  return (
    <section className="card" aria-labelledby="checkpoints">
      <h2 id="checkpoints">Checkpoints</h2>
      {list.isError && <p role="alert" className="error">{list.error.message}</p>}
      {list.data?.data.length === 0 && <p className="small">There is none.</p>}
      <ul className="files">
        {list.data?.data.map(({ name, step, bytes: size, time }) => (
          <li key={name}>
            after {count(step)} steps{" "}
            <span className="small number">
              {bytes(size)} · {moment(time)}
            </span>
            <CheckpointFiles id={id} name={name} />
          </li>
        ))}
      </ul>
    </section>
  );
}
