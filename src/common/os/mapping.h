// A memory mapping that is undone with its owner. For daemon, tools and builder; the client keeps
// its mapping for the life of the process and has its own few lines.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <span>

#include "src/common/base/result.h"

namespace pycds {

class Mapping {
  public:
    Mapping() = default;
    Mapping(Mapping&& other) noexcept : address_(other.address_), size_(other.size_) {
        other.address_ = nullptr;
        other.size_ = 0;
    }
    Mapping& operator=(Mapping&& other) noexcept;
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();

    // The first `size` bytes of `fd`, read-only and private. The descriptor may be closed after.
    // A file that may shrink under the mapping raises SIGBUS: map sealed files, or read others.
    static Result<Mapping> map_read_only(int fd, size_t size);

    std::span<const std::byte> bytes() const {
        return {static_cast<const std::byte*>(address_), size_};
    }

  private:
    void* address_ = nullptr;
    size_t size_ = 0;
};

}  // namespace pycds
