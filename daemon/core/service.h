// What the daemon does for a request, without sockets, clock or processes: those are injected, so
// that tests and fuzzers call handle() as plainly as the server does.
//
// One thread. Every request that may take long, which is build alone, is answered later through
// the ReplySink.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/core/build_queue.h"

namespace pycds::core {

struct ServiceOptions {
    uid_t daemon_uid = 0;
    pid_t pid = 0;
    std::string version;
    ImageLimits images;
    QuotaLimits quotas;
};

// What the service works with; outlives it. `policy` outlives the worker too.
struct ServiceDependencies {
    Clock& clock;
    Worker& worker;
    BuilderLauncher& launcher;
    const AccessPolicy& policy;
};

class Service {
  public:
    Service(const ServiceDependencies& dependencies, ServiceOptions options);
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    // Does the answer depend on where the peer lives (PeerIdentity::elsewhere)? Looking costs more
    // than most attaches do, which get the system's images wherever they come from.
    bool depends_on_place(uid_t uid, const wire::Request& request) const;

    // May this uid send descriptors? Of others not even those are wanted that are closed at once:
    // that may take as long as they like.
    bool takes_descriptors(uid_t uid) const { return accounting_.is_administrator(uid); }

    // The reply, or nothing if it comes later through `sink`. `fds` are what came with the
    // request.
    std::optional<Reply> handle(const PeerIdentity& peer, const wire::Request& request,
                                std::vector<UniqueFd> fds, const std::shared_ptr<ReplySink>& sink);

    // The connection is gone: cancels what was asked for on it.
    void peer_gone(const ReplySink& sink);

    // Kills all builders. For the shutdown.
    void cancel_builds();

    // Makes the image for an interpreter that nobody asked for; how it ended goes to `sink`, which
    // the caller keeps. Not called from inside.
    Status build_by_itself(const std::string& python, UniqueFd plan, Origin origin,
                           const std::shared_ptr<ReplySink>& sink);

    // Where `pycdsctl run` loads libraries of interpreters (image/format.h), and what images of
    // those are made for from now on.
    void set_common_base(uint64_t base) { build_services_.common_base = base; }
    // PYTHONHASHSEED of processes that want images with hashes; 0, as before: there are no such images.
    void set_hash_seed(uint32_t seed) { build_services_.hash_seed = seed; }

    // The system's images are made with it: users may have theirs made with it too. An absolute path
    // without symbolic links. No other is looked at on a user's word.
    void note_interpreter(const std::string& python) { interpreters_.insert(python); }

    // For StatusReply.
    void set_connections(size_t connections) { connections_ = connections; }

    ImageStore& images() { return store_; }
    Accounting& accounting() { return accounting_; }

  private:
    Reply attach(const PeerIdentity& peer, const wire::AttachRequest& request);
    std::optional<Reply> build(const PeerIdentity& peer, const wire::BuildRequest& request,
                               std::vector<UniqueFd> fds, const std::shared_ptr<ReplySink>& sink);
    std::optional<Reply> build_offered(const PeerIdentity& peer,
                                             const wire::BuildRequest& request,
                                             const std::shared_ptr<ReplySink>& sink);
    Status submit(BuildOrder order, const std::shared_ptr<ReplySink>& sink);
    Reply list(const PeerIdentity& peer) const;
    Reply status(const PeerIdentity& peer);
    Reply drop(const PeerIdentity& peer, const wire::DropRequest& request);
    Reply fetch(const PeerIdentity& peer, const wire::FetchRequest& request) const;
    Reply layout() const;

    bool may_see(const PeerIdentity& peer, const StoredImage& image) const;
    // Of an image that the peer may know of, what it may know.
    wire::ImageInfo info_for(const PeerIdentity& peer, const StoredImage& image) const;
    // The image of that name, if there is one that the peer may know of.
    Result<const StoredImage*> find_for(const PeerIdentity& peer, const std::string& id) const;

    const ServiceOptions options_;
    Accounting accounting_;
    ImageStore store_;
    std::set<std::string> interpreters_;
    BuildServices build_services_;
    BuildQueue queue_;
    const uint64_t started_ms_;
    uint64_t builds_asked_ = 0;
    uint64_t attaches_ = 0;
    uint64_t attach_misses_ = 0;
    size_t connections_ = 0;
};

}  // namespace pycds::core
