#include "src/common/base/event.h"

#include <atomic>
#include <cstddef>
#include <iterator>

namespace pycds {
namespace {

std::atomic<EventSink> event_sink{nullptr};

constexpr bool in_order() {
    for (size_t i = 0; i < std::size(kEvents); ++i) {
        if (kEvents[i].event != static_cast<Event>(i)) return false;
    }
    return true;
}
static_assert(in_order(), "an event is the index of its entry");

}  // namespace

void set_event_sink(EventSink sink) {
    event_sink = sink;
}

void log_event(Event event, std::string_view message, const EventFields& fields) {
    const EventInfo& info = kEvents[static_cast<size_t>(event)];
    if (!log_shows(info.level)) return;
    const EventSink sink = event_sink;
    if (sink != nullptr && sink(info, message, fields)) return;
    log_line(info.level, message);
}

}  // namespace pycds
