import { lazy, Suspense, useEffect } from "react";
import { use_ticks } from "./clock";
import { use_failed_again } from "./live/read_again";
import { use_live_devices } from "./live/store";
import { use_live_trainings } from "./live/trainings";
import { QueuePage } from "./pages/queue";
import { SystemPage } from "./pages/system";
import { TrainingsPage } from "./pages/trainings";
import { Header } from "./parts/header";
import { PageBoundary } from "./parts/page_boundary";
import { type Place, use_place } from "./router";

// What has charts or a long form is not in the first load.
const pages = {
  training: () => import("./pages/training"),
  device: () => import("./pages/device"),
  events: () => import("./pages/events"),
  new_training: () => import("./pages/new_training"),
  compare: () => import("./pages/compare"),
};
const TrainingPage = lazy(pages.training);
const DevicePage = lazy(pages.device);
const EventsPage = lazy(pages.events);
const NewTrainingPage = lazy(pages.new_training);
const ComparePage = lazy(pages.compare);

const SOON_MS = 200; // the first page's own questions go first

// But soon after it, so that they can be opened while the server is away.
function use_all_pages(): void {
  useEffect(() => {
    const timer = setTimeout(() => Object.values(pages).forEach((load) => void load().catch(() => undefined)), SOON_MS);
    return () => clearTimeout(timer);
  }, []);
}

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
  use_all_pages();
  use_live_devices();
  use_ticks();
  use_failed_again();
  use_live_trainings(); // every page names some
  const place = use_place();
  return (
    <>
      <a className="skip" href="#main" onClick={skip_to_main}>
        Skip to content
      </a>
      <Header place={place.path[0] ?? ""} />
      <main id="main" tabIndex={-1}>
        <PageBoundary key={place.path.join("/")}>
          <Suspense fallback={<p>Loading …</p>}>
            <Page {...place} />
          </Suspense>
        </PageBoundary>
      </main>
    </>
  );
}

// The hash is the page's place, so the link cannot name its target there.
function skip_to_main(event: { preventDefault(): void }) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
