// What each user has of what there is not enough of, and how much more may be had.
//
// The model is dbus-broker's (src/util/user.c there): everything that a peer makes the daemon keep
// is charged to its uid, as the kernel tells it, and given back when it is gone. Two rules say no:
//   - nobody has more than a limit of its own;
//   - of what cannot be taken back once given (descriptors on their way, bytes that a peer has not
//     read), nobody gets more than a share of what is left: with n users, the part 1/(n+1). So a
//     newcomer finds something, however greedy the others are.
// What can be taken back is taken from whoever has most (greediest()), never from another.
//
// And there are rates, of requests and of builds. Those of root and of the daemon's own uid are not
// limited: who may replace the daemon need not be kept from using it.
//
// No socket, no clock. One thread.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

namespace pycds::core {

enum class Resource : size_t {
    kConnections,
    kDescriptors,  // sent to peers that have not been seen to have read them
    kBytes,        // of requests that wait, and of answers that are not read
    kBuilds,       // waiting or running
};
inline constexpr size_t kResources = 4;

struct Quota {
    uint64_t of_user = 0;
    uint64_t of_all = 0;
};

struct QuotaLimits {
    Quota connections{512, 2048};
    Quota descriptors{1024, 8192};
    Quota bytes{uint64_t{4} << 20, uint64_t{64} << 20};
    Quota builds{2, 9};
    // Per user and second, connections and what is asked for on them; as many may come at once.
    uint32_t requests_per_second = 1000;
    // Per user and minute.
    uint32_t builds_per_minute = 6;
    // Of images of users' own files, published in a day.
    Quota image_bytes_per_day{uint64_t{128} << 20, uint64_t{2} << 30};
};

// What a user has done, for what he is told of it; others are told nothing.
struct Activity {
    uint64_t attaches = 0;
    uint64_t attach_misses = 0;
    uint64_t builds_done = 0;
    uint64_t builds_failed = 0;
};

class Accounting {
  public:
    // `daemon_uid` is the uid that the daemon runs as.
    Accounting(QuotaLimits limits, uid_t daemon_uid) : daemon_uid_(daemon_uid), limits_(limits) {}
    Accounting(const Accounting&) = delete;
    Accounting& operator=(const Accounting&) = delete;

    // What is charged stays so; it counts against the new limits.
    void set_limits(const QuotaLimits& limits) { limits_ = limits; }
    const QuotaLimits& limits() const { return limits_; }

    // All of it, or false and nothing.
    bool charge(uid_t uid, Resource resource, uint64_t amount);
    // Gives back what was charged; no more than that.
    void release(uid_t uid, Resource resource, uint64_t amount);

    uint64_t used(uid_t uid, Resource resource) const;
    uint64_t used(Resource resource) const { return used_[index(resource)]; }

    // Would of_all alone keep the user from one more?
    bool is_full(Resource resource) const;
    // Who has most of it; of several the one with the lowest uid. Looks at all users.
    std::optional<uid_t> greediest(Resource resource) const;

    // Counts one more against the rate; false if that is one too many. `now_us`: microseconds of a
    // clock that never goes back, the same at all calls.
    bool spend_request(uid_t uid, uint64_t now_us);
    bool spend_build(uid_t uid, uint64_t now_us);
    // All of it or false and nothing. What a published image had is the daemon's memory as long as any
    // process has it mapped, also when another has taken its place, and nobody tells how long that is.
    bool spend_image_bytes(uid_t uid, uint64_t bytes, uint64_t now_us);

    // Of a user who has nothing and whose last request is long ago it may begin anew.
    Activity& activity(uid_t uid) { return users_[uid].activity; }

    bool is_administrator(uid_t uid) const { return uid == 0 || uid == daemon_uid_; }

    // Users of whom something is known, for tests: it must not grow with all that ever came.
    size_t users() const { return users_.size(); }

  private:
    // A rate, by the generic cell rate algorithm (ITU-T I.371): the time at which everything that
    // was spent will be paid off.
    struct Rate {
        uint64_t paid_at_us = 0;
        bool spend(uint64_t now_us, uint64_t interval_us, uint64_t burst_us);
    };
    struct User {
        std::array<uint64_t, kResources> used{};
        Rate requests;
        Rate builds;
        Rate image_bytes;
        Activity activity;
    };

    static size_t index(Resource resource) { return static_cast<size_t>(resource); }
    const Quota& quota(Resource resource) const;
    User& user(uid_t uid) { return users_[uid]; }
    void forget_idle(uint64_t now_us);

    const uid_t daemon_uid_;
    QuotaLimits limits_;
    std::unordered_map<uid_t, User> users_;
    std::array<uint64_t, kResources> used_{};
    Rate image_bytes_;
    std::array<size_t, kResources> holders_{};  // users that have some of it
    size_t forget_at_ = 256;                    // users
};

// An amount that is charged as long as this lives. The accounting outlives it.
class Charge {
  public:
    Charge(Accounting& accounting, uid_t uid, Resource resource)
        : accounting_(&accounting), uid_(uid), resource_(resource) {}
    Charge(Charge&& other) noexcept
        : accounting_(other.accounting_),
          uid_(other.uid_),
          resource_(other.resource_),
          amount_(std::exchange(other.amount_, 0)) {}
    Charge& operator=(Charge&& other) noexcept {
        clear();
        accounting_ = other.accounting_;
        uid_ = other.uid_;
        resource_ = other.resource_;
        amount_ = std::exchange(other.amount_, 0);
        return *this;
    }
    ~Charge() { clear(); }

    // False, and nothing more is charged, if that is too much.
    bool add(uint64_t amount) {
        if (!accounting_->charge(uid_, resource_, amount)) return false;
        amount_ += amount;
        return true;
    }
    void clear() { accounting_->release(uid_, resource_, std::exchange(amount_, 0)); }
    uint64_t amount() const { return amount_; }

  private:
    Accounting* accounting_;
    uid_t uid_;
    Resource resource_;
    uint64_t amount_ = 0;
};

}  // namespace pycds::core
