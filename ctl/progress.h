// A progress bar on standard error, for people only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace pycds::ctl {

// Draws nothing where standard error is no terminal, and nothing in the first second: what is done
// by then needs no bar. The line is wiped when the object goes.
class Progress {
  public:
    Progress();
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // What is being done, and how far it is. `total` 0: nobody knows.
    void set(std::string label, uint32_t done, uint32_t total);

    // Draws if there is something new to see. Call it often.
    void tick();

  private:
    using Clock = std::chrono::steady_clock;

    bool terminal_;
    bool drawn_ = false;
    Clock::time_point start_ = Clock::now();
    Clock::time_point last_{};
    std::string label_;
    uint32_t done_ = 0;
    uint32_t total_ = 0;
};

// The line, at most `width` columns: "label [####------] 12/30 3 s". Pure, for tests.
std::string progress_line(const std::string& label, uint32_t done, uint32_t total, uint64_t seconds,
                          size_t width);

}  // namespace pycds::ctl
