#include "daemon/reloader.h"

#include <vector>

#include "daemon/sys/service_manager.h"
#include "src/common/base/event.h"
#include "src/common/base/log.h"

namespace pycds {
namespace {

std::string joined(const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts) out += (out.empty() ? "" : ", ") + part;
    return out;
}

}  // namespace

void Reloader::reload() {
    sys::notify_reloading();
    Result<config::Reload> read = config::reload(argc_, argv_, options_);
    std::string status = status_;
    if (!read) {
        const std::string& why = read.error().message;
        log_event(Event::kReloadRefused,
                  "the configuration stays as it was, because of a mistake: " + why,
                  {{field::kReason, why}});
        status += "; the configuration has a mistake: " + why;
    } else {
        options_ = std::move(read->options);
        const std::string changed = joined(read->changed);
        log_event(Event::kReloaded,
                  "configuration read: " + (changed.empty() ? "nothing changed" : changed),
                  {{field::kOptions, changed}});
        const std::string waiting = joined(read->need_restart);
        if (!waiting.empty()) {
            log_warning("only after a restart: " + waiting);
            status += "; only after a restart: " + waiting;
        }
    }
    apply_(options_);
    sys::notify_ready(status);
}

}  // namespace pycds
