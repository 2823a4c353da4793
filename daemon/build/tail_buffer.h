// The last bytes of an endless stream.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pycds::build {

class TailBuffer {
  public:
    explicit TailBuffer(size_t capacity) : capacity_(capacity) {}

    void feed(std::string_view bytes) {
        bytes_.append(bytes);
        if (bytes_.size() > capacity_) bytes_.erase(0, bytes_.size() - capacity_);
    }

    // The last line that is not empty, without its newline; of a traceback it is the one that says
    // what went wrong.
    std::string last_line() const {
        const size_t last = bytes_.find_last_not_of("\r\n");
        if (last == std::string::npos) return {};
        const size_t before = bytes_.rfind('\n', last);
        const size_t begin = before == std::string::npos ? 0 : before + 1;
        return bytes_.substr(begin, last + 1 - begin);
    }

  private:
    const size_t capacity_;
    std::string bytes_;
};

}  // namespace pycds::build
