// Which source the builder is busy with, for the daemon to read when the builder has been killed:
// no message can be relied on then, and thousands of messages would cost more than this one word.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace pycds::builder {

// The first word of the output, until the image is written over it: 1 + offset of the source in the
// plan, or 0.
class Whereabouts {
  public:
    // Before the builder is confined. Where it cannot be had nobody will know.
    explicit Whereabouts(int out_fd) {
        if (ftruncate(out_fd, kSize) != 0) return;
        void* mapped = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, out_fd, 0);
        if (mapped != MAP_FAILED) word_ = static_cast<volatile uint64_t*>(mapped);
    }

    void at_source(uint64_t offset) { set(1 + offset); }
    void nowhere() { set(0); }

  private:
    static constexpr size_t kSize = 4096;

    void set(uint64_t value) {
        if (word_ != nullptr) *word_ = value;
    }

    volatile uint64_t* word_ = nullptr;  // mapped for as long as the process lives
};

}  // namespace pycds::builder
