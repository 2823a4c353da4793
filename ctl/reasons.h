// The words of `_pycds.stats()`, of images and of pycdsctl explain for people.
#pragma once

#include <span>
#include <string_view>

namespace pycds::ctl {

struct Reason {
    std::string_view name;
    std::string_view sentence;  // what it means and what to do; no full stop at the end
};

// Why a process is not served (client/ext, interp, link, loader), and why a module is not. A test
// compares both with what the sources of the client say.
std::span<const Reason> refusals();
std::span<const Reason> misses();

// Why a source is left out of an image, by the names of image::left_out_reason_name(). The sentences
// say what is so of a file, be it when the image was made or now.
std::span<const Reason> left_out_reasons();

// What pycdsctl explain finds out beyond the client's own words.
std::span<const Reason> findings();

// The sentence, or one for a name that this version does not know.
std::string_view explain_refusal(std::string_view name);
std::string_view explain_miss(std::string_view name);
std::string_view explain_left_out(std::string_view name);
std::string_view explain_finding(std::string_view name);

}  // namespace pycds::ctl
