// How `saemill train` shows a job while it runs.
#pragma once

#include <memory>
#include <string>

#include "control/launch/job.h"
#include "control/launch/observer.h"

namespace saemill {

// bar: one line on stderr, drawn again each second (a plain line now and then where stderr is no terminal);
// json: each event on stdout; none.
std::unique_ptr<JobObserver> make_progress(const std::string& kind);

// What came of a finished job, for a person, on stdout.
void print_report(const JobResult& job);

}  // namespace saemill
