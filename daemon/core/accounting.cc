#include "daemon/core/accounting.h"

#include <algorithm>

namespace pycds::core {
namespace {

constexpr uint64_t kSecondUs = 1'000'000;
constexpr uint64_t kMinuteUs = 60 * kSecondUs;
constexpr uint64_t kDayUs = 24 * 60 * kMinuteUs;

bool can_be_taken_back(Resource resource) {
    return resource == Resource::kConnections || resource == Resource::kBuilds;
}

}  // namespace

const Quota& Accounting::quota(Resource resource) const {
    switch (resource) {
        case Resource::kConnections: return limits_.connections;
        case Resource::kDescriptors: return limits_.descriptors;
        case Resource::kBytes: return limits_.bytes;
        case Resource::kBuilds: break;
    }
    return limits_.builds;
}

bool Accounting::charge(uid_t uid, Resource resource, uint64_t amount) {
    if (amount == 0) return true;
    const size_t i = index(resource);
    const Quota& limit = quota(resource);
    const auto known = users_.find(uid);
    const uint64_t has = known == users_.end() ? 0 : known->second.used[i];
    // Whoever may replace the daemon may also have it build all day.
    const bool own_limit = resource != Resource::kBuilds || !is_administrator(uid);
    const uint64_t of_user = own_limit ? limit.of_user : limit.of_all;
    // Nor is kept from it by what others wait for.
    const uint64_t used = own_limit ? used_[i] : has;
    const uint64_t left = limit.of_all - std::min(limit.of_all, used);
    if (has >= of_user || amount > of_user - has || amount > left) return false;
    if (!can_be_taken_back(resource)) {
        const uint64_t holders = holders_[i] + (has == 0 ? 1 : 0);
        if (has + amount > (left + has) / (holders + 1)) return false;
    }
    User& charged = known == users_.end() ? user(uid) : known->second;
    if (has == 0) ++holders_[i];
    charged.used[i] += amount;
    used_[i] += amount;
    return true;
}

void Accounting::release(uid_t uid, Resource resource, uint64_t amount) {
    const auto known = users_.find(uid);
    if (amount == 0 || known == users_.end()) return;
    const size_t i = index(resource);
    uint64_t& has = known->second.used[i];
    amount = std::min(amount, has);
    if (amount == 0) return;
    has -= amount;
    used_[i] -= amount;
    if (has == 0) --holders_[i];
}

uint64_t Accounting::used(uid_t uid, Resource resource) const {
    const auto known = users_.find(uid);
    return known == users_.end() ? 0 : known->second.used[index(resource)];
}

bool Accounting::is_full(Resource resource) const {
    return used_[index(resource)] >= quota(resource).of_all;
}

std::optional<uid_t> Accounting::greediest(Resource resource) const {
    const size_t i = index(resource);
    std::optional<uid_t> out;
    uint64_t most = 0;
    for (const auto& [uid, user] : users_) {
        const uint64_t has = user.used[i];
        if (has == 0 || has < most || (has == most && out && *out < uid)) continue;
        most = has;
        out = uid;
    }
    return out;
}

bool Accounting::Rate::spend(uint64_t now_us, uint64_t interval_us, uint64_t burst_us) {
    const uint64_t paid_at = std::max(paid_at_us, now_us) + interval_us;
    if (paid_at - now_us > burst_us) return false;
    paid_at_us = paid_at;
    return true;
}

bool Accounting::spend_request(uid_t uid, uint64_t now_us) {
    if (is_administrator(uid)) return true;
    forget_idle(now_us);
    return user(uid).requests.spend(
        now_us, kSecondUs / std::max<uint64_t>(limits_.requests_per_second, 1), kSecondUs);
}

bool Accounting::spend_build(uid_t uid, uint64_t now_us) {
    if (is_administrator(uid)) return true;
    forget_idle(now_us);
    return user(uid).builds.spend(
        now_us, kMinuteUs / std::max<uint64_t>(limits_.builds_per_minute, 1), kMinuteUs);
}

bool Accounting::spend_image_bytes(uid_t uid, uint64_t bytes, uint64_t now_us) {
    if (is_administrator(uid)) return true;
    forget_idle(now_us);
    const auto interval = [bytes](uint64_t limit) {
        const uint64_t kilobytes = std::max<uint64_t>(limit / 1024, 1);
        return (bytes / 1024 + 1) * (kDayUs / kilobytes);
    };
    Rate& own = user(uid).image_bytes;
    const Rate before = own;
    if (!own.spend(now_us, interval(limits_.image_bytes_per_day.of_user), kDayUs)) return false;
    if (image_bytes_.spend(now_us, interval(limits_.image_bytes_per_day.of_all), kDayUs)) return true;
    own = before;
    return false;
}

// Whoever has a range of uids to himself (subuid(5)) could make us remember all of them.
void Accounting::forget_idle(uint64_t now_us) {
    if (users_.size() < forget_at_) return;
    std::erase_if(users_, [&](const auto& entry) {
        const User& user = entry.second;
        const bool has_something = std::any_of(user.used.begin(), user.used.end(),
                                               [](uint64_t amount) { return amount != 0; });
        return !has_something && user.requests.paid_at_us <= now_us &&
               user.builds.paid_at_us <= now_us && user.image_bytes.paid_at_us <= now_us;
    });
    forget_at_ = std::max<size_t>(256, 2 * users_.size());
}

}  // namespace pycds::core
