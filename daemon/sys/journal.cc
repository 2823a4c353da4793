#include "daemon/sys/journal.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "src/common/base/event.h"

// The place in the source says nothing to administrators.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

namespace pycds::sys {
namespace {

constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

bool send_to_journal(const EventInfo& info, std::string_view message, const EventFields& fields) {
    std::vector<std::string> entry{
        "MESSAGE=" + std::string(message), "MESSAGE_ID=" + std::string(info.id),
        "PRIORITY=" + std::to_string(static_cast<int>(info.level)), "SYSLOG_IDENTIFIER=pycdsd"};
    for (const EventField& field : fields) {
        entry.push_back(std::string(field.name) + "=" + field.value);
    }
    // journalctl -x would show the name of a field that is not there.
    for (const std::string_view name : info.fields) {
        const bool given = std::any_of(fields.begin(), fields.end(),
                                       [&](const EventField& field) { return field.name == name; });
        if (!name.empty() && !given) entry.push_back(std::string(name) + "=");
    }
    std::vector<iovec> parts;
    for (std::string& text : entry) parts.push_back(iovec{text.data(), text.size()});
    return sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) == 0;
}

}  // namespace

void send_events_to_journal() {
    // Without its socket libsystemd drops what it is given and reports success.
    if (log_is_journal() && access(kJournalSocket, W_OK) == 0) set_event_sink(send_to_journal);
}

}  // namespace pycds::sys
