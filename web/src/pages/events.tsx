// All events that are kept, a page at a time.
import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import type { EventList, Severity } from "../api/schema";
import { count } from "../format";
import { EventRows } from "../events/event_rows";
import { nothing_words, SeverityChoice } from "../events/severity_choice";
import { use_events } from "../events/store";
import { is_at_least, merged, SEVERITIES } from "../live/events_state";
import { use_place, use_title } from "../router";

const LIMIT = 50;

function link(severity: Severity, page: number): string {
  const query = new URLSearchParams();
  if (severity !== "info") query.set("severity", severity);
  if (page > 1) query.set("page", String(page));
  return query.size > 0 ? `#/events?${query}` : "#/events";
}

function Pages({ severity, page, pages }: { severity: Severity; page: number; pages: number }) {
  return (
    <nav className="event-pages" aria-label="Pages of events">
      {page > 1 && <a href={link(severity, page - 1)}>Newer</a>}
      <span className="number">
        Page {count(page)} of {count(pages)}
      </span>
      {page < pages && <a href={link(severity, page + 1)}>Older</a>}
    </nav>
  );
}

// The first page goes on live; further ones stay as they were read.
function use_page(severity: Severity, page: number) {
  const asked = useQuery({
    queryKey: ["events", "page", severity, page],
    queryFn: () => get<EventList>(`events?severity=${severity}&limit=${LIMIT}&page=${page}`),
    placeholderData: (before) => before,
  });
  const newest = use_events((state) => state.events);
  const read = asked.data?.data ?? [];
  const first = read[0]?.id ?? 0;
  const since = page > 1 ? [] : newest.filter((event) => is_at_least(event, severity) && (event.id ?? Infinity) > first);
  return { asked, newest, events: merged(read, since) };
}

export default function EventsPage() {
  use_title("Events");
  const { query } = use_place();
  const severity = SEVERITIES.find((one) => one === query.get("severity")) ?? "info";
  const page = Math.max(1, Number.parseInt(query.get("page") ?? "1", 10) || 1);
  const { asked, newest, events } = use_page(severity, page);
  const pages = asked.data?.pagination.total_pages ?? 1;
  return (
    <section aria-labelledby="title">
      <div className="title-row">
        <h1 id="title">Events</h1>
        <SeverityChoice severity={severity} choose={(one) => location.replace(link(one, 1))} />
      </div>
      {asked.isError && <p role="alert" className="error">{asked.error.message}</p>}
      {asked.isPending && <p>Loading …</p>}
      {asked.data && events.length === 0 && <p>{page > 1 ? "There is no such page." : nothing_words(severity)}</p>}
      {events.length > 0 && (
        <div className="card all-events">
          <EventRows label="Events, newest first" events={events} all={merged(events, newest)} />
        </div>
      )}
      {(pages > 1 || page > 1) && <Pages severity={severity} page={page} pages={pages} />}
    </section>
  );
}
