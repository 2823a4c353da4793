#include "daemon/ipc/lingering.h"

#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include <string>
#include <utility>

#include "src/common/base/log.h"
#include "src/common/base/result.h"

namespace pycds::ipc {

bool has_unread(int socket) {
    int unread = 0;
    // Not 0: the kernel calls when all but one byte are given back (net/core/sock.c, sock_wfree()),
    // and no message counts as little as one.
    return ioctl(socket, SIOCOUTQ, &unread) == 0 && unread > 1;
}

Lingering::Lingering(core::EventLoop& loop) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) {
        log_error(errno_error("cannot watch connections that are over").message);
        return;
    }
    watch_ = loop.watch_readable(epoll_.get(), [this] { on_events(); });
}

void Lingering::add(UniqueFd socket, core::Charge descriptors, core::Charge bytes) {
    const int fd = socket.get();
    sockets_.emplace(fd, Socket{std::move(socket), std::move(descriptors), std::move(bytes)});
    // There is room to write again: net/unix/af_unix.c, unix_write_space().
    epoll_event event{};
    event.events = EPOLLOUT | EPOLLET;
    event.data.fd = fd;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) sockets_.erase(fd);
}

void Lingering::on_events() {
    epoll_event events[64];
    const int count = epoll_wait(epoll_.get(), events, 64, 0);
    for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (!has_unread(fd)) sockets_.erase(fd);
    }
}

}  // namespace pycds::ipc
