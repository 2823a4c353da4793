// The events that matter to whoever runs the daemon. In the journal each has a message id, by which
// scripts and `journalctl -x` (systemd/pycds.catalog) find it, and fields; elsewhere it is a line
// of the log like others.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "src/common/base/log.h"

namespace pycds {

enum class Event {
    kStarted,         // the daemon listens
    kStopping,        // it was asked to stop
    kReloaded,        // another configuration is in force
    kReloadRefused,   // the configuration has a mistake; the old one stays
    kImagePublished,  // a build made it; one event for each image
    kBuildFailed,
    kImageDropped,   // why, or by whom
    kImageRestored,  // from the file descriptor store of the service manager
    kImageCached,    // from the cache on disk
    kCacheIgnored,   // a file or descriptor of an image is not what it should be
    kInterpreterFound,
    kInterpreterGone,
};

// Names of fields. Values are for programs: numbers in decimal, without units.
namespace field {
inline constexpr std::string_view kImage = "PYCDS_IMAGE";    // img-3
inline constexpr std::string_view kPython = "PYCDS_PYTHON";  // path of the interpreter
inline constexpr std::string_view kModules = "PYCDS_MODULES";
inline constexpr std::string_view kBytes = "PYCDS_BYTES";
inline constexpr std::string_view kReason = "PYCDS_REASON";  // why, in words
inline constexpr std::string_view kUid = "PYCDS_UID";        // who asked
inline constexpr std::string_view kFile = "PYCDS_FILE";
inline constexpr std::string_view kOptions = "PYCDS_OPTIONS";  // that changed, in words
inline constexpr std::string_view kVersion = "PYCDS_VERSION";  // of the daemon
inline constexpr std::string_view kSocket = "PYCDS_SOCKET";    // where it listens
}  // namespace field

struct EventInfo {
    Event event;
    std::string_view id;  // 128 random bits, as sd-id128(3) writes them; never changed
    LogLevel level;
    // What the event always has, for the texts of the catalog; more is welcome.
    std::array<std::string_view, 5> fields;
};

inline constexpr EventInfo kEvents[] = {
    {Event::kStarted,
     "c332c2e1efb04d179941af63248069db",
     LogLevel::kInfo,
     {field::kVersion, field::kSocket}},
    {Event::kStopping, "6ab4d493103f422ab7d2e2cfc117a6c6", LogLevel::kInfo, {field::kVersion}},
    {Event::kReloaded, "81bfab05301445238f41e6f9dd0ce90a", LogLevel::kInfo, {field::kOptions}},
    {Event::kReloadRefused, "967f89c1c50841b9a5cce7844e3ed2fc", LogLevel::kError, {field::kReason}},
    {Event::kImagePublished,
     "41bbf47a514f4d84b448c89a2ef722c4",
     LogLevel::kInfo,
     {field::kImage, field::kPython, field::kModules, field::kBytes, field::kUid}},
    {Event::kBuildFailed,
     "af032f0444f743c4af8fe193e6516f06",
     LogLevel::kWarning,
     {field::kPython, field::kReason, field::kUid}},
    {Event::kImageDropped,
     "072861109c5c422fb5d2f32b426a1f86",
     LogLevel::kInfo,
     {field::kImage, field::kReason}},
    {Event::kImageRestored,
     "25f8464b1f65495d93f39990d64519af",
     LogLevel::kInfo,
     {field::kImage, field::kModules, field::kBytes}},
    {Event::kImageCached,
     "9faa19ca415940d286fa565f9df36015",
     LogLevel::kInfo,
     {field::kImage, field::kFile, field::kModules, field::kBytes}},
    {Event::kCacheIgnored,
     "5eaa49d48aba4ebaa5c72ead5e0e482c",
     LogLevel::kWarning,
     {field::kFile, field::kReason}},
    {Event::kInterpreterFound,
     "167df0ff227f42448614589d6c5b69d9",
     LogLevel::kInfo,
     {field::kPython}},
    {Event::kInterpreterGone,
     "b09dd24245334716887823647decdc6e",
     LogLevel::kInfo,
     {field::kPython, field::kReason}},
};

struct EventField {
    std::string_view name;
    std::string value;  // any bytes
};
using EventFields = std::vector<EventField>;

// `message` is one line of UTF-8. A field that the event should have and is not given is empty.
// Thread-safe.
void log_event(Event event, std::string_view message, const EventFields& fields = {});

// Where events go instead of stderr. Returns false for one that it could not deliver, which then
// is a line on stderr.
using EventSink = bool (*)(const EventInfo& info, std::string_view message,
                           const EventFields& fields);
void set_event_sink(EventSink sink);

}  // namespace pycds
