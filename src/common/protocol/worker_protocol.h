// What a launcher and its ranks tell each other.
//
// The launcher starts one `saemill-worker train` per rank, as its direct child and in a process group of its
// own:
//
//   saemill-worker train --run RUN --rank K --world-size N --device cpu:K --report-fd R --memory-fd M
//                        [--resume-step S] [--deadline SECONDS] [--threads T]
//
// RUN/config.json holds the resolved configuration. R is the write end of this rank's pipe. M is a memfd that
// all ranks of this attempt inherit: the shm communicator lives in it. With --resume-step the state is read
// from RUN/checkpoints/step-S. Affinity is set by the launcher before exec.
//
// Each rank writes JSON lines of at most 64 KiB to R, one write() each. Every line has "event" and "rank":
// - heartbeat {step, phase}: at least once a second, from a thread; phase: init | train | checkpoint | export
// - started {step, plan{...}}: rank 0
// - metrics {step, values{name: number|null}, ranks{name: [number of each rank]}}: rank 0, of all; no
//   ranks where there is one only; see metric_catalog.h
// - checkpoint {step, path, bytes, kept[steps]}: rank 0; kept: all that RUN/checkpoints holds now, so that
//   what keep_last removed is known even where a report was lost. Told again by whoever resumes from it
// - warning {code, message}: any rank
// - finished {step, finalized_early, report{...}}: rank 0, after RUN/sae is written
// - paused {step}: rank 0, after the checkpoint that SIGTERM asked for; then exits 130
// - failed {code, reason, phase}: the rank that fails; code is its exit code
//
// Requests are signals to rank 0, which chooses the step; every rank learns it inside that step's collective:
//   SIGTERM  checkpoint, exit 130     SIGUSR1  checkpoint, go on     SIGUSR2  checkpoint, export, exit 0
// Ranks ignore SIGINT. Each sets PR_SET_PDEATHSIG = SIGKILL and checks its parent again afterwards.
#pragma once

namespace saemill {

inline constexpr int kMaxReportLine = 64 * 1024;

}  // namespace saemill
