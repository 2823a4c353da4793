// The event loop of the product: Asio, and one thread for long work.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "daemon/core/event_loop.h"
#include "daemon/core/worker.h"

namespace pycds::ipc {

class AsioLoop final : public core::EventLoop, public core::Worker {
  public:
    AsioLoop() : guard_(context_.get_executor()) {}
    AsioLoop(const AsioLoop&) = delete;
    AsioLoop& operator=(const AsioLoop&) = delete;
    // Waits for the piece of work that is under way; what was not begun is dropped.
    ~AsioLoop() override;

    // Until stop(). The thread that calls it is the main thread of all callbacks.
    void run() { context_.run(); }
    // From any thread.
    void stop() { context_.stop(); }

    std::unique_ptr<core::Watch> watch_readable(int fd, std::function<void()> ready) override;
    std::unique_ptr<core::Watch> call_after(std::chrono::milliseconds delay,
                                            std::function<void()> expired) override;
    void post(std::function<void()> work, std::function<void()> done) override;

    // For the rest of daemon/ipc.
    boost::asio::io_context& context() { return context_; }

  private:
    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
    boost::asio::thread_pool pool_{1};
};

}  // namespace pycds::ipc
