// Ways in which an image can be wrong: each an edit of a valid one, and the defect it must show.
#pragma once

#include <functional>
#include <vector>

#include "src/common/image/validator.h"
#include "tests/unit/image/forge.h"

namespace pycds::image {

struct DefectCase {
    const char* name;
    Defect defect;
    std::function<void(Forge&)> edit;
};

// Shown although the checksums fit. By where the edit is.
const std::vector<DefectCase>& header_cases();
const std::vector<DefectCase>& object_cases();
const std::vector<DefectCase>& table_cases();

}  // namespace pycds::image
