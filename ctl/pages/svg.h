// The picture of a page report as a drawing that stands alone: SVG 1.1, no script, no font of its
// own, nothing from elsewhere.
#pragma once

#include <string>

#include "ctl/pages/report.h"

namespace pycds::ctl {

// A row of cells for each region: one per page, in images too large for that one for several. Of
// several processes the colour says in what part of them the page is dirty.
std::string pages_svg(const PageReport& report);

}  // namespace pycds::ctl
