// Which interned strings of an image a process looks anything up by.
#pragma once

#include <vector>

#include "client/builder/object_graph.h"

namespace pycds::builder {

// By node: is it an interned string that is more than a name for people to read? A third of all interned
// strings are not: names of local variables that are no parameters, qualified names of functions, file
// names. No client has to enter those in its dict of interned strings, which would make that dict twice as
// large. They carry the mark, so that interning one gives the same object, and equal ones are one object in
// the image. docs/interning.md says what is left to notice.
std::vector<bool> looked_up_strings(const ObjectGraph& graph);

}  // namespace pycds::builder
