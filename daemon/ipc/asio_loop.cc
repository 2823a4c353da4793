#include "daemon/ipc/asio_loop.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "src/common/base/log.h"

namespace pycds::ipc {
namespace {

using boost::asio::posix::stream_descriptor;

// Shared with the handlers that Asio holds: a handler may be queued already when its watch is
// destroyed, and finds `ready` empty then.
struct ReadState : std::enable_shared_from_this<ReadState> {
    ReadState(boost::asio::io_context& context, int fd, std::function<void()> on_ready)
        : descriptor(context), ready(std::move(on_ready)) {
        boost::system::error_code error;
        descriptor.assign(fd, error);
        if (error) log_error("cannot watch a descriptor: " + error.message());
    }

    void wait() {
        if (!descriptor.is_open()) return;
        descriptor.async_wait(stream_descriptor::wait_read,
                              [self = shared_from_this()](const boost::system::error_code& error) {
                                  if (error || !self->ready) return;
                                  // The callback may destroy the watch, and with it `ready`.
                                  const std::function<void()> call = self->ready;
                                  call();
                                  if (self->ready) self->wait();
                              });
    }

    stream_descriptor descriptor;
    std::function<void()> ready;
};

class ReadWatch final : public core::Watch {
  public:
    explicit ReadWatch(std::shared_ptr<ReadState> state) : state_(std::move(state)) {}
    ReadWatch(const ReadWatch&) = delete;
    ReadWatch& operator=(const ReadWatch&) = delete;
    ~ReadWatch() override {
        state_->ready = nullptr;
        // The descriptor is its owner's: taken out of the loop, not closed.
        if (state_->descriptor.is_open()) state_->descriptor.release();
    }

  private:
    std::shared_ptr<ReadState> state_;
};

class TimerWatch final : public core::Watch {
  public:
    TimerWatch(boost::asio::io_context& context, std::chrono::milliseconds delay,
               std::function<void()> expired)
        : timer_(context, delay), alive_(std::make_shared<bool>(true)) {
        timer_.async_wait(
            [alive = alive_, call = std::move(expired)](const boost::system::error_code& error) {
                if (!error && *alive) call();
            });
    }
    TimerWatch(const TimerWatch&) = delete;
    TimerWatch& operator=(const TimerWatch&) = delete;
    ~TimerWatch() override { *alive_ = false; }

  private:
    boost::asio::steady_timer timer_;
    std::shared_ptr<bool> alive_;
};

}  // namespace

AsioLoop::~AsioLoop() {
    pool_.stop();
    pool_.join();
}

std::unique_ptr<core::Watch> AsioLoop::watch_readable(int fd, std::function<void()> ready) {
    auto state = std::make_shared<ReadState>(context_, fd, std::move(ready));
    state->wait();
    return std::make_unique<ReadWatch>(std::move(state));
}

std::unique_ptr<core::Watch> AsioLoop::call_after(std::chrono::milliseconds delay,
                                                  std::function<void()> expired) {
    return std::make_unique<TimerWatch>(context_, delay, std::move(expired));
}

void AsioLoop::post(std::function<void()> work, std::function<void()> done) {
    boost::asio::post(pool_, [this, work = std::move(work), done = std::move(done)]() mutable {
        work();
        work = nullptr;
        boost::asio::post(context_, std::move(done));
    });
}

}  // namespace pycds::ipc
