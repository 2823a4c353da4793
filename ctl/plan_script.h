// The text of plan.py, put in at build time.
#pragma once

namespace pycds::ctl {

extern const char* const kPlanScript;

}  // namespace pycds::ctl
