// What a training was asked for, and what that differs in from another.
import { useQuery } from "@tanstack/react-query";
import { memo, useState } from "react";
import { get, path_of } from "../api/client";
import type { Training } from "../api/schema";
import { config_differences } from "../config_difference";
import { ABSENT, flattened } from "../format";
import { use_named_trainings } from "../live/trainings";

function Rows({ head, rows }: { head: string[] | null; rows: [string, ...(string | undefined)[]][] }) {
  return (
    <table className="configuration">
      {head && (
        <thead>
          <tr>
            {head.map((words, i) => (
              <th key={i} scope="col">
                {words}
              </th>
            ))}
          </tr>
        </thead>
      )}
      <tbody>
        {rows.map(([key, ...values]) => (
          <tr key={key}>
            <th scope="row">
              <code>{key}</code>
            </th>
            {values.map((value, i) => (
              <td key={i}>{value === undefined ? ABSENT : <code>{value}</code>}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Difference({ config, other }: Pick<Training, "config"> & { other: string }) {
  // Not all that is known of it by the live channels has its configuration.
  const found = useQuery({
    queryKey: ["trainings", other, "config"],
    queryFn: () => get<Training>(path_of("trainings", other)),
    staleTime: Infinity,
  });
  if (found.isError) return <p role="alert" className="error">{found.error.message}</p>;
  if (found.isPending) return <p className="small">Loading …</p>;
  const differences = config_differences([config, found.data.config]);
  if (differences.length === 0) return <p>They are the same.</p>;
  const rows = differences.map(({ key, values }): [string, ...(string | undefined)[]] => [key, ...values]);
  return <Rows head={["Key", "this training", found.data.name]} rows={rows} />;
}

export const Configuration = memo(function Configuration({ id: own, config }: Pick<Training, "id" | "config">) {
  const [other, set_other] = useState("");
  const others = use_named_trainings().filter(({ id }) => id !== own);
  const chosen = others.some(({ id }) => id === other) ? other : "";
  return (
    <section className="card" aria-labelledby="configuration">
      <div className="section-row">
        <h2 id="configuration">Configuration</h2>
        {others.length > 0 && (
          <label className="small compared">
            compared to{" "}
            <select value={chosen} onChange={(event) => set_other(event.target.value)}>
              <option value="">none</option>
              {others.map(({ id, name }) => (
                <option key={id} value={id}>
                  {`${name} (${id})`}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      {chosen === "" ? <Rows head={null} rows={flattened(config)} /> : <Difference config={config} other={chosen} />}
    </section>
  );
});
