import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, it } from "vitest";
import { read_again } from "../src/live/read_again";

it("does not take the answer to a question that was asked before", async () => {
  const queries = new QueryClient();
  const answers: ((value: string) => void)[] = [];
  const queryFn = () => new Promise<string>((answer) => answers.push(answer));
  const observer = new QueryObserver(queries, { queryKey: ["trainings", "list"], queryFn });
  const end = observer.subscribe(() => undefined);
  expect(answers).toHaveLength(1);
  const read = read_again(queries, { queryKey: ["trainings"] });
  await expect.poll(() => answers.length).toBe(2);
  answers[0]?.("old");
  answers[1]?.("new");
  await read;
  expect(observer.getCurrentResult()).toMatchObject({ status: "success", data: "new" });
  end();
  queries.clear();
});
