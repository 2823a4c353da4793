# Writes the file IN into OUT as a C++ string. Run with cmake -DIN=… -DOUT=… -P.
file(READ "${IN}" text)
file(WRITE "${OUT}" "// Made from ctl/plan.py.
#include \"ctl/plan_script.h\"

namespace pycds::ctl {

const char* const kPlanScript = R\"pycds_plan(${text})pycds_plan\";

}  // namespace pycds::ctl
")
