# Writes the file IN into OUT as the C++ string NAME of scripts.h. Run with
# cmake -DIN=… -DOUT=… -DNAME=… -P.
get_filename_component(source "${IN}" NAME)
file(READ "${IN}" text)
file(WRITE "${OUT}" "// Made from ctl/${source}.
#include \"ctl/scripts.h\"

namespace pycds::ctl {

const char* const ${NAME} = R\"pycds_script(${text})pycds_script\";

}  // namespace pycds::ctl
")
