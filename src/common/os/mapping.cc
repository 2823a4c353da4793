#include "src/common/os/mapping.h"

#include <utility>

namespace pycds {

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(size_, other.size_);
    return *this;
}

Mapping::~Mapping() {
    if (address_ != nullptr) munmap(address_, size_);
}

Result<Mapping> Mapping::map_read_only(int fd, size_t size) {
    Mapping mapping;
    if (size == 0) return mapping;
    void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (address == MAP_FAILED) {
        return errno_error("cannot map " + std::to_string(size) + " bytes of an image");
    }
    mapping.address_ = address;
    mapping.size_ = size;
    return mapping;
}

}  // namespace pycds
