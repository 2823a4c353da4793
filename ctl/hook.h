// The files that switch the client on, and only those: a symbolic link to it in the directory of a
// standard library, or a link and a .pth file in that of a virtual environment.
#pragma once

#include <string>
#include <vector>

#include "ctl/target.h"
#include "src/common/base/result.h"

namespace pycds::ctl {

// A link to the clients of the system's installation, which pycdsd.socket makes when it begins to
// listen and removes when it stops. A hook that leads through it leads nowhere while no daemon can
// answer: importlib then looks at one name that is not there, instead of loading a library. It lies
// where only root can make it, unlike what is in the directory of the daemon.
inline constexpr const char* kRunningClients = "/run/pycds-client";

// What a link to `library`, find_library()'s, should hold: its path through kRunningClients if the
// system is run by systemd and has a pycdsd.socket for just these clients, else `library`. `root` is
// where the system is, without a slash at the end; for tests.
std::string link_to(const std::string& library, const std::string& root = {});

enum class HookState {
    kOff,      // nothing there
    kOn,       // as enable_target() makes it
    kStale,    // ours, but not complete, or of another version or place of the client
    kForeign,  // somebody else's
};

struct Hook {
    HookState state = HookState::kOff;
    std::string file;  // the one that decided
};

// What is in the directories of a target. `library` is link_to()'s, or empty if there is none: then
// what is ours is stale.
Hook stdlib_hook(const Target& target, const std::string& library);
Hook venv_hook(const Target& target, const std::string& library);

// Does the link of a hook lead to a client of the target's version, be it another pycdsctl's? Also
// if it is asleep.
bool leads_to_client(const Hook& hook, const Target& target);

// Does it lead through kRunningClients, and is that not there?
bool is_asleep(const Hook& hook);

// Makes the hook on, in one step or, in a virtual environment, two that can be seen one after the
// other. Writes nothing unless all of it is ours or absent. kInvalidArgument: something foreign is
// in the way. kPermissionDenied.
Status make_stdlib_hook(const Target& target, const std::string& library);
Status make_venv_hook(const Target& target, const std::string& library);

// Removes what is ours, and nothing else. Errors as above; none if nothing was there.
Status remove_stdlib_hook(const Target& target);
Status remove_venv_hook(const Target& target);

// Hooks below `root` (which ends without a slash) in the directories where standard libraries are
// installed, whatever interpreter they are for, or were.
std::vector<std::string> find_hooks(const std::string& root);
// Removes one of those, or fails because it is not ours.
Status remove_hook(const std::string& path);

}  // namespace pycds::ctl
