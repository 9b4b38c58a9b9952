import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Refusal } from "./api/client";
import { App } from "./app";
import { live } from "./live/store";
import { start_theme } from "./theme";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/devices.css";
import "./styles/trainings.css";

start_theme();
live.start();

const queries = new QueryClient({
  defaultOptions: {
    // A refusal is an answer; what did not arrive is asked for again.
    queries: { retry: (failures, error) => !(error instanceof Refusal) && failures < 5, refetchOnWindowFocus: false },
  },
});

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
