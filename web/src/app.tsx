import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useCallback } from "react";
import { use_live_devices, use_live_trainings } from "./live/store";
import { use_training_list } from "./live/training_list";
import { QueuePage } from "./pages/queue";
import { SystemPage } from "./pages/system";
import { TrainingsPage } from "./pages/trainings";
import { Header } from "./parts/header";
import { type Place, use_place } from "./router";

// What has charts or a long form is loaded when it is opened first.
const TrainingPage = lazy(() => import("./pages/training"));
const DevicePage = lazy(() => import("./pages/device"));
const EventsPage = lazy(() => import("./pages/events"));
const NewTrainingPage = lazy(() => import("./pages/new_training"));
const ComparePage = lazy(() => import("./pages/compare"));

function Page({ path: [name, id], query }: Place) {
  if (name === "trainings") return id ? <TrainingPage key={id} id={id} /> : <TrainingsPage />;
  if (name === "devices" && id) return <DevicePage key={id} id={id} />;
  if (name === "new") return <NewTrainingPage key={query.get("from")} from={query.get("from")} />;
  if (name === "queue") return <QueuePage />;
  if (name === "events") return <EventsPage />;
  if (name === "compare") return <ComparePage ids={(query.get("ids") ?? "").split(",").filter(Boolean)} />;
  return <SystemPage />;
}

export function App() {
  const queries = useQueryClient();
  use_live_devices();
  use_live_trainings(useCallback(() => void queries.invalidateQueries({ queryKey: ["trainings"] }), [queries]));
  use_training_list(); // every page names trainings
  const place = use_place();
  return (
    <>
      <a className="skip" href="#main" onClick={skip_to_main}>
        Skip to content
      </a>
      <Header place={place.path[0] ?? ""} />
      <main id="main" tabIndex={-1}>
        <Suspense fallback={<p>Loading …</p>}>
          <Page {...place} />
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
