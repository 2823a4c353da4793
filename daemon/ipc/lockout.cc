#include "daemon/ipc/lockout.h"

#include <acl/libacl.h>
#include <fcntl.h>
#include <sys/acl.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <type_traits>

#include "daemon/ipc/listener.h"
#include "src/common/base/log.h"

namespace pycds::ipc {
namespace {

// A list has to fit into one block of a file system, and is read at each connect(2).
constexpr size_t kMostLockedOut = 64;
// Of a list that could not be written.
constexpr std::chrono::seconds kRetry{1};

struct FreeAcl {
    void operator()(acl_t acl) const { acl_free(acl); }
};
using Acl = std::unique_ptr<std::remove_pointer_t<acl_t>, FreeAcl>;

// A new entry has no permissions; to make one may move the list.
bool keep_out(uid_t uid, Acl* acl) {
    acl_t list = acl->release();
    acl_entry_t entry = nullptr;
    const bool made = acl_create_entry(&list, &entry) == 0 &&
                      acl_set_tag_type(entry, ACL_USER) == 0 && acl_set_qualifier(entry, &uid) == 0;
    acl->reset(list);
    return made;
}

// Does it say no more than the mode, but for users who may nothing?
bool is_our_list(acl_t acl) {
    acl_entry_t entry = nullptr;
    for (int which = ACL_FIRST_ENTRY; acl != nullptr && acl_get_entry(acl, which, &entry) == 1;
         which = ACL_NEXT_ENTRY) {
        acl_tag_t tag = ACL_UNDEFINED_TAG;
        acl_permset_t permissions = nullptr;
        if (acl_get_tag_type(entry, &tag) != 0 || acl_get_permset(entry, &permissions) != 0 ||
            tag == ACL_GROUP ||
            (tag == ACL_USER && (acl_get_perm(permissions, ACL_READ) != 0 ||
                                 acl_get_perm(permissions, ACL_WRITE) != 0))) {
            return false;
        }
    }
    return true;
}

}  // namespace

Lockout::Lockout(boost::asio::io_context& context, int listener) : timer_(context) {
    const std::string path = path_of_socket(listener);
    file_.reset(path.empty() ? -1 : open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat st {};
    if (!file_ || fstat(file_.get(), &st) != 0 || !S_ISSOCK(st.st_mode)) {
        possible_ = Error{ErrorCode::kNotFound, "there is no socket at " + path};
        return;
    }
    name_ = "/proc/self/fd/" + std::to_string(file_.get());
    if (!is_our_list(Acl(acl_get_file(name_.c_str(), ACL_TYPE_ACCESS)).get())) {
        possible_ = Error{ErrorCode::kPermissionDenied,
                          "the socket has an access control list of somebody else's"};
        return;
    }
    possible_ = write();
}

Lockout::~Lockout() {
    clear();
}

void Lockout::clear() {
    timer_.cancel();
    if (until_.empty() && !stale_) return;
    until_.clear();
    possible_ = write();
}

void Lockout::add(uid_t uid, std::chrono::milliseconds duration) {
    if (!possible_) return;
    const bool known = until_.contains(uid);
    // They are turned away one by one, which is no more than it was.
    if (!known && until_.size() == kMostLockedOut) return;
    until_[uid] = Clock::now() + duration;
    // Connections that it had, or that were waiting to be accepted, come here too.
    if (known) return;
    possible_ = write();
    if (!possible_) {
        log_warning("cannot lock uid " + std::to_string(uid) +
                    " out, who asks too often: " + possible_.error().message);
        until_.clear();
        return;
    }
    if (until_.size() == 1) wait();
}

// The mode stays as it was: what it says of the group is the mask then (acl(5)), and the group's own
// permissions are the same.
Status Lockout::write() {
    struct stat st {};
    if (fstat(file_.get(), &st) != 0) return errno_error("cannot see the mode of the socket");
    Acl acl(acl_from_mode(st.st_mode));
    bool made = acl != nullptr;
    for (const auto& [uid, until] : until_) made = made && keep_out(uid, &acl);
    if (!until_.empty()) {
        acl_t list = acl.release();
        made = made && acl_calc_mask(&list) == 0;
        acl.reset(list);
    }
    if (made && acl_set_file(name_.c_str(), ACL_TYPE_ACCESS, acl.get()) == 0) return Ok{};
    return errno_error("cannot set the access control list of the socket");
}

void Lockout::wait() {
    Clock::time_point next = Clock::now() + kRetry;
    if (!stale_) {
        for (const auto& [uid, until] : until_) next = std::min(next, until);
    }
    timer_.expires_at(next);
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (!error) on_time();
    });
}

void Lockout::on_time() {
    const Clock::time_point now = Clock::now();
    std::erase_if(until_, [&](const auto& entry) { return entry.second <= now; });
    const Status written = write();
    stale_ = !written;
    if (stale_) log_error("users stay locked out: " + written.error().message);
    if (stale_ || !until_.empty()) wait();
}

}  // namespace pycds::ipc
