// Whose turn it is: of users that want something each gets one turn, then all again. However many
// connections one has, another waits for no more than one request of each user.
#pragma once

#include <sys/types.h>

#include <deque>
#include <memory>
#include <unordered_map>
#include <utility>

namespace pycds::ipc {

template <typename Peer>
class Turns {
  public:
    bool empty() const { return users_.empty(); }

    void push(uid_t uid, std::shared_ptr<Peer> peer) {
        std::deque<std::shared_ptr<Peer>>& peers = of_user_[uid];
        if (peers.empty()) users_.push_back(uid);
        peers.push_back(std::move(peer));
    }

    // There is one. In the order of their coming among those of one user.
    std::shared_ptr<Peer> pop() {
        const uid_t uid = users_.front();
        users_.pop_front();
        const auto of_user = of_user_.find(uid);
        std::shared_ptr<Peer> peer = std::move(of_user->second.front());
        of_user->second.pop_front();
        if (of_user->second.empty()) {
            of_user_.erase(of_user);
        } else {
            users_.push_back(uid);
        }
        return peer;
    }

    void clear() {
        users_.clear();
        of_user_.clear();
    }

  private:
    std::deque<uid_t> users_;  // each once
    std::unordered_map<uid_t, std::deque<std::shared_ptr<Peer>>> of_user_;
};

}  // namespace pycds::ipc
