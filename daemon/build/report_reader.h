// The lines that a builder writes on its report descriptor (client/builder/PROTOCOL.md). The
// builder is not believed: whatever it writes, this uses a bounded amount of memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace pycds::build {

class ReportReader {
  public:
    using OnProgress = std::function<void(uint32_t done, uint32_t total)>;

    explicit ReportReader(OnProgress on_progress) : on_progress_(std::move(on_progress)) {}

    void feed(std::string_view bytes);

    // Text of the last `error` line; empty if there was none.
    const std::string& error() const { return error_; }

    // A longer line is cut.
    static constexpr size_t kMaxLine = 4096;

  private:
    void take_line();

    OnProgress on_progress_;
    std::string line_;
    std::string error_;
};

}  // namespace pycds::build
