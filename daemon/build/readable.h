// What a builder has to read: the interpreter with its libraries, and the sources.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pycds::build {

// Directories and files that an interpreter needs to start: those of the system, its own prefix
// and, in a virtual environment, that of the interpreter it was made from. All that there is ("/")
// for a script, which may execute anything.
std::vector<std::string> paths_of_interpreter(const std::string& python);

// The directories of the sources in a plan (entries ended by NUL), without those beneath another.
std::vector<std::string> directories_of_plan(std::string_view plan);

}  // namespace pycds::build
