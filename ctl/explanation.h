// What pycdsctl explain found out, module by module.
#pragma once

#include <string>
#include <vector>

#include "ctl/target.h"
#include "src/common/base/result.h"

namespace pycds::ctl {

enum class Verdict {
    kServed,     // its code comes from an image
    kNotServed,  // from elsewhere, for `reason`
    kNoCode,     // it has no code that an image could have
    kNotFound,
};

// Texts are any bytes.
struct Explanation {
    std::string asked;  // what the user named
    Verdict verdict = Verdict::kNotServed;
    std::string kind;      // source, built-in, frozen, extension, namespace; empty: not known
    std::string source;    // the file, where there is one
    std::string image;     // id of the one that serves it, or that left it out; may be empty
    std::string domain;    // of that image: "system", "user 1000"
    std::string reason;    // stable, for scripts (reasons.h); empty if it is served or has no code
    std::string sentence;  // what that means and what to do
};

// Asks a process of the interpreter's and the images that it maps. `names`: modules, and files,
// which have a slash in their name or end with .py. Errors as run_child() and, where the process is
// served, those of the conversation with the daemon and of load_image().
Result<std::vector<Explanation>> explain(const Target& target,
                                         const std::vector<std::string>& names,
                                         const std::string& socket);

}  // namespace pycds::ctl
