#include "daemon/core/service.h"

#include <utility>
#include <variant>

#include "src/common/base/event.h"
#include "src/common/base/text.h"
#include "src/common/image/format.h"

namespace pycds::core {
namespace {

Reply reply_with(wire::Reply message) {
    return Reply{std::move(message), {}};
}

Status check_build(const wire::BuildRequest& request, uint32_t hash_seed) {
    if (request.optimize > 2) {
        return Error{ErrorCode::kInvalidArgument,
                     "no such optimisation level: " + std::to_string(request.optimize)};
    }
    if (request.hashes && hash_seed == 0) {
        return Error{ErrorCode::kUnavailable, "the daemon has no hash seed"};
    }
    return Ok{};
}

}  // namespace

Service::Service(const ServiceDependencies& dependencies, ServiceOptions options)
    : options_(std::move(options)),
      accounting_(options_.quotas, options_.daemon_uid),
      store_(options_.images, options_.daemon_uid),
      build_services_{dependencies.clock,
                      dependencies.worker,
                      dependencies.launcher,
                      dependencies.policy,
                      store_,
                      accounting_,
                      options_.daemon_uid,
                      interpreters_,
                      0},
      queue_(accounting_),
      started_ms_(dependencies.clock.monotonic_ms()) {}

bool Service::depends_on_place(uid_t uid, const wire::Request& request) const {
    const auto* attach = std::get_if<wire::AttachRequest>(&request);
    return attach == nullptr || store_.has(ImageKey{attach->identity, wire::Domain::kUser, uid});
}

std::optional<Reply> Service::handle(const PeerIdentity& peer, const wire::Request& request,
                                     std::vector<UniqueFd> fds,
                                     const std::shared_ptr<ReplySink>& sink) {
    // First what every start of an interpreter asks.
    if (const auto* in = std::get_if<wire::AttachRequest>(&request)) return attach(peer, *in);
    if (const auto* in = std::get_if<wire::BuildRequest>(&request)) {
        return build(peer, *in, std::move(fds), sink);
    }
    if (std::holds_alternative<wire::ListRequest>(request)) return list(peer);
    if (std::holds_alternative<wire::StatusRequest>(request)) return status(peer);
    if (const auto* in = std::get_if<wire::DropRequest>(&request)) return drop(peer, *in);
    if (std::holds_alternative<wire::LayoutRequest>(request)) return layout();
    return fetch(peer, std::get<wire::FetchRequest>(request));
}

Reply Service::attach(const PeerIdentity& peer, const wire::AttachRequest& request) {
    wire::AttachReply attached;
    Reply reply;
    if (request.format_version == image::kFormatVersion) {
        // The keys are the policy: what everybody may map, and what this uid may map at home. There
        // is no way to name another uid's image here.
        const ImageKey keys[] = {{request.identity, wire::Domain::kSystem, 0},
                                 {request.identity, wire::Domain::kUser, peer.uid}};
        for (const ImageKey& key : keys) {
            StoredImage* image = store_.find(key);
            if (image == nullptr || (key.domain == wire::Domain::kUser && peer.elsewhere)) continue;
            // Who has another group has its rights, which the owner of the files need not have.
            if (image->gid && *image->gid != peer.gid) continue;
            ++image->info.attaches;
            attached.images.push_back(info_for(peer, *image));
            reply.fds.push_back(image->fd);
        }
    }
    Activity& activity = accounting_.activity(peer.uid);
    ++attaches_;
    ++activity.attaches;
    if (attached.images.empty()) {
        ++attach_misses_;
        ++activity.attach_misses;
    }
    reply.message = std::move(attached);
    return reply;
}

std::optional<Reply> Service::build(const PeerIdentity& peer, const wire::BuildRequest& request,
                                    std::vector<UniqueFd> fds,
                                    const std::shared_ptr<ReplySink>& sink) {
    if (request.offered) return build_offered(peer, request, sink);
    const Status allowed = build_services_.policy.may_build(peer);
    if (!allowed) return reply_with(allowed.error());
    if (fds.size() != 1) {
        return reply_with(Error{ErrorCode::kInvalidArgument,
                                "a build request carries one descriptor, its plan; this one has " +
                                    std::to_string(fds.size())});
    }
    const Status level = check_build(request, build_services_.hash_seed);
    if (!level) return reply_with(level.error());
    const Status plan = check_plan_fd(fds[0].get());
    if (!plan) return reply_with(plan.error());
    const Status accepted = submit(BuildOrder{peer, request, std::move(fds[0])}, sink);
    if (!accepted) return reply_with(accepted.error());
    return std::nullopt;
}

std::optional<Reply> Service::build_offered(const PeerIdentity& peer,
                                            const wire::BuildRequest& request,
                                            const std::shared_ptr<ReplySink>& sink) {
    const Status allowed = build_services_.policy.may_build_offered(peer);
    if (!allowed) return reply_with(allowed.error());
    if (store_.limits().user_max_bytes == 0) {
        return reply_with(Error{ErrorCode::kPermissionDenied,
                                "this daemon makes no images of users' own files "
                                "(user-image-budget); a daemon of your own does: pycdsd --user"});
    }
    const Status level = check_build(request, build_services_.hash_seed);
    if (!level) return reply_with(level.error());
    // Even to look at a path can take as long as who made it likes.
    if (!interpreters_.contains(request.python)) {
        return reply_with(
            Error{ErrorCode::kPermissionDenied,
                  "users' images are made with interpreters that the system's are made with, and " +
                      printable(request.python.substr(0, 256)) +
                      " is none of them since it started; a daemon of your own, pycdsd --user, takes any"});
    }
    const Status accepted = submit(BuildOrder{peer, request, UniqueFd()}, sink);
    if (!accepted) return reply_with(accepted.error());
    return std::nullopt;
}

Status Service::build_by_itself(const std::string& python, UniqueFd plan, Origin origin,
                                const std::shared_ptr<ReplySink>& sink) {
    // As root would ask for it: what is the system's goes to the system.
    const PeerIdentity root{0, 0, options_.pid};
    return submit(BuildOrder{root, wire::BuildRequest{python, 0, false}, std::move(plan), origin},
                  sink);
}

Status Service::submit(BuildOrder order, const std::shared_ptr<ReplySink>& sink) {
    return queue_.submit(
        std::make_shared<Build>(build_services_, ++builds_asked_, std::move(order), sink),
        build_services_.clock.monotonic_ms() * 1000);
}

Reply Service::list(const PeerIdentity& peer) const {
    wire::ListReply out;
    for (const StoredImage* image : store_.all()) {
        if (may_see(peer, *image)) out.images.push_back(info_for(peer, *image));
    }
    return reply_with(std::move(out));
}

Reply Service::status(const PeerIdentity& peer) {
    wire::StatusReply out;
    out.version = options_.version;
    out.pid = static_cast<uint32_t>(options_.pid);
    out.uptime_ms = build_services_.clock.monotonic_ms() - started_ms_;
    for (const StoredImage* image : store_.all()) {
        if (!may_see(peer, *image)) continue;
        ++out.images;
        out.image_bytes += image->info.size;
    }
    if (build_services_.policy.may_see_all(peer)) {
        out.attaches = attaches_;
        out.attach_misses = attach_misses_;
        out.connections = static_cast<uint32_t>(connections_);
        out.builds_running = static_cast<uint32_t>(queue_.running());
        out.builds_done = queue_.done();
        out.builds_failed = queue_.failed();
        return reply_with(std::move(out));
    }
    // What others do is none of his business: even how much they do tells something of it.
    const Activity& activity = accounting_.activity(peer.uid);
    out.attaches = activity.attaches;
    out.attach_misses = activity.attach_misses;
    out.connections = static_cast<uint32_t>(accounting_.used(peer.uid, Resource::kConnections));
    out.builds_running = static_cast<uint32_t>(queue_.running(peer.uid));
    out.builds_done = activity.builds_done;
    out.builds_failed = activity.builds_failed;
    return reply_with(std::move(out));
}

Reply Service::drop(const PeerIdentity& peer, const wire::DropRequest& request) {
    const auto may_drop = [&](const StoredImage& image) {
        return build_services_.policy.may_drop(peer, image.info.domain, image.info.domain_uid);
    };
    const auto log_drop = [&](const StoredImage& image) {
        const std::string who = "uid " + std::to_string(peer.uid);
        log_event(Event::kImageDropped, who + " dropped " + image.info.id,
                  {{field::kImage, image.info.id},
                   {field::kReason, who + " asked for it"},
                   {field::kUid, std::to_string(peer.uid)}});
        return true;
    };
    size_t dropped = 0;
    if (request.id == "all") {
        dropped = store_.drop_if(
            [&](const StoredImage& image) { return may_drop(image) && log_drop(image); });
    } else {
        const Result<const StoredImage*> image = find_for(peer, request.id);
        if (!image) return reply_with(image.error());
        if (!may_drop(**image)) {
            return reply_with(Error{ErrorCode::kPermissionDenied,
                                    "only root, uid " + std::to_string(options_.daemon_uid) +
                                        " and its owner may drop " + (*image)->info.id +
                                        (peer.elsewhere ? ", and nobody inside a container" : "")});
        }
        dropped = store_.drop_if([&](const StoredImage& candidate) {
            return &candidate == *image && log_drop(candidate);
        });
    }
    return reply_with(wire::DropReply{static_cast<uint32_t>(dropped)});
}

Reply Service::fetch(const PeerIdentity& peer, const wire::FetchRequest& request) const {
    const Result<const StoredImage*> found = find_for(peer, request.id);
    if (!found) return reply_with(found.error());
    const StoredImage& image = **found;
    if (!build_services_.policy.may_fetch(peer, image.info.domain, image.info.domain_uid)) {
        return reply_with(
            Error{ErrorCode::kPermissionDenied, image.info.id + " belongs to uid " +
                                                    std::to_string(image.info.domain_uid) +
                                                    "; only that uid and root may have it"});
    }
    Reply reply = reply_with(wire::FetchReply{info_for(peer, image)});
    reply.fds.push_back(image.fd);
    return reply;
}

// For every peer: who maps an image of such an interpreter knows it anyway.
Reply Service::layout() const {
    return reply_with(wire::LayoutReply{build_services_.common_base, build_services_.hash_seed});
}

void Service::peer_gone(const ReplySink& sink) {
    queue_.cancel_for(sink);
}

void Service::cancel_builds() {
    queue_.cancel_all();
}

bool Service::may_see(const PeerIdentity& peer, const StoredImage& image) const {
    return build_services_.policy.may_see(peer, image.info.domain, image.info.domain_uid);
}

wire::ImageInfo Service::info_for(const PeerIdentity& peer, const StoredImage& image) const {
    wire::ImageInfo info = image.info;
    if (info.domain == wire::Domain::kSystem && !build_services_.policy.may_see_all(peer)) {
        info.attaches = 0;
    }
    return info;
}

Result<const StoredImage*> Service::find_for(const PeerIdentity& peer,
                                             const std::string& id) const {
    const StoredImage* image = store_.find(std::string_view(id));
    // The same answer for both, so that nobody can ask which images others have.
    if (image == nullptr || !may_see(peer, *image)) {
        return Error{ErrorCode::kNotFound, "no image named " + printable(id.substr(0, 64)) +
                                               "; pycdsctl list shows them"};
    }
    return image;
}

}  // namespace pycds::core
