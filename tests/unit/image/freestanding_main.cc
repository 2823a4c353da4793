// Links only if the validator needs nothing but libc: the client is made of it.
#include "src/common/image/validator.h"

using namespace pycds::image;

int main() {
    alignas(8) static const std::byte page[kPageSize] = {};
    const bool refused = validate_header(page, kPageSize).defect == Defect::kMagic &&
                         validate_image(page, kPageSize).defect == Defect::kMagic;
    return refused ? 0 : 1;
}
