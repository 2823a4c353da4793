// The texts of programs for the user's interpreter, put in at build time.
#pragma once

namespace pycds::ctl {

extern const char* const kPlanScript;     // plan.py
extern const char* const kExplainScript;  // explain.py

}  // namespace pycds::ctl
