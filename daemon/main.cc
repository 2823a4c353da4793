// pycdsd: puts the parts together and runs them.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "daemon/build/process_launcher.h"
#include "daemon/config/command_line.h"
#include "daemon/core/discovery.h"
#include "daemon/core/service.h"
#include "daemon/discover/directory_watch.h"
#include "daemon/discover/interpreters.h"
#include "daemon/ipc/asio_loop.h"
#include "daemon/ipc/listener.h"
#include "daemon/ipc/server.h"
#include "daemon/kept_images.h"
#include "daemon/policy_adapter.h"
#include "daemon/reloader.h"
#include "daemon/sys/fd_store.h"
#include "daemon/sys/journal.h"
#include "daemon/sys/process.h"
#include "daemon/sys/service_manager.h"
#include "daemon/sys/system_clock.h"
#include "daemon/sys/watchdog.h"
#include "src/common/base/event.h"
#include "src/common/base/log.h"
#include "src/common/base/text.h"

namespace pycds {
namespace {

// The service manager's socket if there is one, else our own.
Result<ipc::Listener> open_listener(const config::Options& options, int stop_fd,
                                    std::optional<UniqueFd> passed) {
    if (passed) return ipc::Listener::adopt(std::move(*passed));
    // Everybody may talk to the system's daemon: peers are judged by who they are.
    return ipc::Listener::open(options.user
                                   ? ipc::ListenerOptions{options.socket, 0600, 0700, stop_fd}
                                   : ipc::ListenerOptions{options.socket, 0666, 0755, stop_fd});
}

core::DiscoveryOptions discovery_options(const config::Options& options) {
    core::DiscoveryOptions out;
    out.enabled = options.discovers();
    out.interpreters = options.interpreters;
    out.image_budget = options.image_budget_mib << 20;
    return out;
}

build::LauncherOptions launcher_options(const config::Options& options) {
    build::LauncherOptions out{options.clients, std::chrono::seconds{options.build_deadline_s},
                               options.build_memory_mib << 20, options.image_budget_mib << 20};
    out.user_max_output = options.user_image_budget_mib << 20;
    // An image of 80 MiB of the standard library three times took 442.
    constexpr uint64_t kMemoryPerByte = 6;
    constexpr uint64_t kMemoryOfNothing = uint64_t{128} << 20;
    out.user_max_memory = std::max(kMemoryOfNothing, kMemoryPerByte * out.user_max_output);
    return out;
}

core::ImageLimits image_limits(const config::Options& options) {
    core::ImageLimits out;
    out.max_bytes = options.image_budget_mib << 20;
    out.user_max_bytes = options.user_image_budget_mib << 20;
    out.users_max_bytes = options.users_image_budget_mib << 20;
    return out;
}

void say_how_confined(const build::ProcessLauncher& launcher) {
    if (!launcher.sandbox()) {
        log_error(launcher.sandbox().error().message + ": no image will be made");
    } else if (!launcher.sandbox()->confines_reading()) {
        log_notice("this kernel has no Landlock: while they start, builders can read what I can");
    }
}

core::QuotaLimits quota_limits(const config::Options& options) {
    constexpr uint64_t kUsersInFull = 8;  // so many can have all that one may have
    const uint64_t descriptors = sys::descriptor_limit();
    core::QuotaLimits out;
    out.connections = {options.user_connections,
                       std::min(options.max_connections, descriptors / 4)};
    out.descriptors = {options.user_descriptors,
                       std::min(kUsersInFull * options.user_descriptors, descriptors / 2)};
    // The more processors, the more processes start, and the less it matters to others that we have one.
    const uint64_t processors = std::max(std::thread::hardware_concurrency(), 1u);
    out.requests_per_second = static_cast<uint32_t>(
        std::min<uint64_t>(options.user_requests * processors, UINT32_MAX));
    out.builds_per_minute = static_cast<uint32_t>(options.user_builds);
    out.image_bytes_per_day = {options.user_image_budget_mib << 20,
                               4 * (options.users_image_budget_mib << 20)};
    return out;
}

ipc::ServerOptions server_options(const config::Options& options) {
    return ipc::ServerOptions{std::chrono::seconds(options.patience_s)};
}

// What a daemon that runs can change.
void apply_options(const config::Options& options, core::Service* service, ipc::Server* server,
                   build::ProcessLauncher* launcher, core::Discovery* discovery) {
    service->accounting().set_limits(quota_limits(options));
    server->set_options(server_options(options));
    set_log_threshold(options.verbose ? LogLevel::kDebug : LogLevel::kInfo);
    service->images().set_limits(image_limits(options));
    launcher->set_options(launcher_options(options));
    discovery->set_options(discovery_options(options));
}

std::unique_ptr<sys::Watchdog> start_watchdog(ipc::AsioLoop& loop) {
    const std::optional<std::chrono::microseconds> interval = sys::watchdog_interval();
    if (!interval) return nullptr;
    return std::make_unique<sys::Watchdog>(loop, loop, *interval, sys::notify_alive);
}

Status run(const config::Options& options, int argc, char** argv) {
    if (options.verbose) set_log_threshold(LogLevel::kDebug);
    sys::ignore_broken_pipes();
    sys::raise_descriptor_limit();
    // Before any thread.
    const Result<sys::Signals> signals = sys::block_signals();
    if (!signals) return signals.error();
    Result<sys::PassedDescriptors> passed = sys::take_passed_descriptors();
    if (!passed) return passed.error();
    const Result<ipc::Listener> listener =
        open_listener(options, signals->stop.get(), std::move(passed->socket));
    if (!listener) {
        if (sys::take_stop(signals->stop.get())) return Ok{};
        return listener.error();
    }

    sys::SystemClock clock;
    const PolicyAdapter policy(policy::AccessOptions{geteuid(), options.user});
    const discover::Interpreters interpreters;  // outlives the worker, as the policy does
    ipc::AsioLoop loop;
    build::ProcessLauncher launcher(loop, launcher_options(options));
    say_how_confined(launcher);
    core::ServiceOptions service_options;
    service_options.daemon_uid = geteuid();
    service_options.pid = getpid();
    service_options.version = PYCDS_VERSION;
    service_options.quotas = quota_limits(options);
    service_options.images = image_limits(options);
    core::Service service({clock, loop, launcher, policy}, std::move(service_options));
    KeptImages kept(service, loop, PYCDS_VERSION, options.cache);
    core::Discovery discovery({clock, loop, loop, launcher, policy, service, interpreters},
                              discovery_options(options));
    discover::DirectoryWatch files(loop, [&discovery] { discovery.on_change(); });
    discovery.set_watcher(&files);
    ipc::Server server(loop, listener->fd(), service, server_options(options));
    const auto stop_watch = loop.watch_readable(signals->stop.get(), [&] {
        if (sys::take_stop(signals->stop.get())) loop.stop();
    });
    const std::string status = "Listening on " + listener->path();
    Reloader reloader(argc, argv, options, status, [&](const config::Options& now) {
        apply_options(now, &service, &server, &launcher, &discovery);
    });
    bool loaded = false;
    const auto hangup_watch = loop.watch_readable(signals->hangup.get(), [&] {
        const sys::Hangup hangup = sys::take_hangup(signals->hangup.get());
        if (hangup == sys::Hangup::kReload) {
            reloader.reload();
            if (loaded) discovery.look();
        }
        if (hangup == sys::Hangup::kTerminalGone) loop.stop();
    });

    uint64_t common_base = KeptImages::common_base_of(passed->stored);
    if (common_base == 0) common_base = sys::random_common_base();
    service.set_common_base(common_base);
    uint32_t hash_seed = sys::FdStore::take_hash_seed(passed->stored);
    kept.set_hash_seed_is_kept(hash_seed != 0);
    if (hash_seed == 0) {
        hash_seed = sys::random_hash_seed();
        sys::FdStore::keep_hash_seed(hash_seed);
    }
    service.set_hash_seed(hash_seed);
    kept.set_common_base(common_base);
    kept.take(std::move(passed->stored));
    server.start();
    // Not before: what is kept need not be made.
    kept.load([&] {
        loaded = true;
        discovery.look();
    });
    log_event(Event::kStarted,
              "pycdsd " PYCDS_VERSION " listening on " + listener->path() + ", clients in " +
                  options.clients,
              {{field::kVersion, PYCDS_VERSION}, {field::kSocket, listener->path()}});
    sys::notify_ready(status);
    const std::unique_ptr<sys::Watchdog> watchdog = start_watchdog(loop);
    loop.run();
    log_event(Event::kStopping, "shutting down", {{field::kVersion, PYCDS_VERSION}});
    sys::notify_stopping();
    // Before the connections go, which would cancel them too, for another reason.
    service.cancel_builds();
    server.stop();
    return Ok{};
}

int main_with(int argc, char** argv) {
    sys::send_events_to_journal();
    const Result<config::CommandLine> command_line = config::parse_command_line(argc, argv);
    if (!command_line) {
        log_error(command_line.error().message);
        sys::turn_away_waiting();
        return 2;
    }
    if (command_line->exit) {
        std::fputs(command_line->exit->text.c_str(),
                   command_line->exit->status == 0 ? stdout : stderr);
        return command_line->exit->status;
    }
    const Status status = run(command_line->options, argc, argv);
    if (!status) {
        log_error(status.error().message);
        sys::turn_away_waiting();
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace pycds

int main(int argc, char** argv) {
    // Nothing of ours throws; the standard library and Asio may, if memory runs out for one.
    try {
        return pycds::main_with(argc, argv);
    } catch (const std::exception& error) {
        pycds::log_error(pycds::printable(error.what()));
        return 1;
    }
}
