// The picture of a page report for a terminal or a text file.
#pragma once

#include <cstddef>
#include <string>

#include "ctl/pages/report.h"

namespace pycds::ctl {

struct TextStyle {
    size_t width = 100;  // columns of the picture; less than 20 counts as 20
    bool colour = false;
};

// A block for each region: one line of counts, and what it looks like, a character for so many
// pages that the largest region takes a few lines. Of several processes, counts are means. ASCII,
// but for printable names.
std::string pages_text(const PageReport& report, const TextStyle& style);

}  // namespace pycds::ctl
