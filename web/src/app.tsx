import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useCallback } from "react";
import { use_live_devices, use_live_trainings } from "./live/store";
import { use_training_list } from "./live/training_list";
import { SystemPage } from "./pages/system";
import { TrainingsPage } from "./pages/trainings";
import { Header } from "./parts/header";
import { use_place } from "./router";

// Its charts are loaded when the first training is opened.
const TrainingPage = lazy(() => import("./pages/training"));

export function App() {
  const queries = useQueryClient();
  use_live_devices();
  use_live_trainings(useCallback(() => void queries.invalidateQueries({ queryKey: ["trainings"] }), [queries]));
  use_training_list(); // every page names trainings
  const { path } = use_place();
  const id = path[0] === "trainings" ? path[1] : undefined;
  return (
    <>
      <a className="skip" href="#main" onClick={skip_to_main}>
        Skip to content
      </a>
      <Header place={path[0] ?? ""} />
      <main id="main" tabIndex={-1}>
        <Suspense fallback={<p>Loading …</p>}>
          {path[0] !== "trainings" ? <SystemPage /> : id ? <TrainingPage key={id} id={id} /> : <TrainingsPage />}
        </Suspense>
      </main>
    </>
  );
}

// The hash is the page's place, so the link cannot name its target there.
function skip_to_main(event: { preventDefault(): void }) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
