// What every kernel answers about sockets by themselves: descriptors, addresses, listening, options.

#include <support/platform.hpp>

#include <sys/un.h>

using cove::address;
using test::owned_fd;
using test::poller;

TEST_CASE_TEMPLATE("what is no family, type or protocol makes no socket", Platform, EVERY_PLATFORM) {
    Platform on;
    CHECK(on.os().socket(12345, SOCK_STREAM, 0) == -EAFNOSUPPORT);
    CHECK(on.os().socket(-1, SOCK_STREAM, 0) == -EAFNOSUPPORT);
    CHECK(on.os().socket(AF_INET, 11, 0) == -EINVAL);
    CHECK(on.os().socket(AF_INET, -1, 0) == -EINVAL);
    CHECK(on.os().socket(AF_INET, 0, 0) == -ESOCKTNOSUPPORT);
    CHECK(on.os().socket(AF_INET, SOCK_STREAM, IPPROTO_UDP) == -EPROTONOSUPPORT);
    const owned_fd fine = on.own(on.os().socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP));
    CHECK(on.get(fine, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP);
    CHECK(on.get(fine, SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
    CHECK(on.get(fine, SOL_SOCKET, SO_DOMAIN) == AF_INET6);
}

TEST_CASE_TEMPLATE("a new descriptor is the lowest free number, whatever it is for", Platform, EVERY_PLATFORM) {
    Platform on;
    owned_fd first = on.socket();
    const owned_fd second = on.socket();
    owned_fd third = on.event();
    CHECK(second > first);
    CHECK(third > second);
    const int low = first;
    const int high = third;
    third.close();
    first.close();
    const owned_fd poller_there = on.own(on.os().create_poller());
    const owned_fd event_there = on.event();
    CHECK(poller_there == low);
    CHECK(event_there == high);
}

TEST_CASE_TEMPLATE("an accepted connection gets the lowest free number too", Platform, EVERY_PLATFORM) {
    Platform on;
    owned_fd hole = on.socket();
    const owned_fd listener = on.listen_on();
    const owned_fd client = on.connect_to(on.local(listener));
    const int low = hole;
    hole.close();
    const owned_fd server = on.accept_soon(listener);
    CHECK(server == low);
}

TEST_CASE_TEMPLATE("every call on a number that is no descriptor is EBADF", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd set = on.own(on.os().create_poller());
    const owned_fd fine = on.event();
    owned_fd gone = on.socket();
    const int closed = gone;
    gone.close();
    for (const int fd : {-1, closed, 100'000}) {
        CAPTURE(fd);
        char byte = 0;
        cove::readiness_event none;
        CHECK(on.bind(fd, "127.0.0.1:0") == -EBADF);
        CHECK(on.os().listen(fd, 1) == -EBADF);
        CHECK(on.os().accept(fd) == -EBADF);
        CHECK(on.connect(fd, "127.0.0.1:9") == -EBADF);
        CHECK(on.os().shutdown(fd, SHUT_WR) == -EBADF);
        CHECK(on.peer_result(fd) == -EBADF);
        CHECK(on.os().receive(fd, &byte, 1) == -EBADF);
        CHECK(on.os().send(fd, &byte, 1) == -EBADF);
        CHECK(on.os().send_message(fd, msghdr{}) == -EBADF);
        CHECK(on.set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == -EBADF);
        CHECK(on.get(fd, SOL_SOCKET, SO_ERROR) == -EBADF);
        CHECK(on.os().close(fd) == -EBADF);
        CHECK(on.os().control(set, cove::kernel::registration::add, fd, {}) == -EBADF);
        CHECK(on.os().control(set, cove::kernel::registration::modify, fd, {}) == -EBADF);
        CHECK(on.os().control(set, cove::kernel::registration::remove, fd, {}) == -EBADF);
        CHECK(on.os().control(fd, cove::kernel::registration::add, fine, {}) == -EBADF);
        CHECK(on.os().wait(fd, &none, 1, cove::duration::zero()) == -EBADF);
    }
}

TEST_CASE_TEMPLATE("every socket call on what is no socket is ENOTSOCK", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd event = on.event();
    const owned_fd set = on.own(on.os().create_poller());
    for (const int fd : {int{event}, int{set}}) {
        char byte = 0;
        CHECK(on.bind(fd, "127.0.0.1:0") == -ENOTSOCK);
        CHECK(on.os().listen(fd, 1) == -ENOTSOCK);
        CHECK(on.os().accept(fd) == -ENOTSOCK);
        CHECK(on.connect(fd, "127.0.0.1:9") == -ENOTSOCK);
        CHECK(on.os().shutdown(fd, SHUT_WR) == -ENOTSOCK);
        CHECK(on.peer_result(fd) == -ENOTSOCK);
        CHECK(on.os().receive(fd, &byte, 1) == -ENOTSOCK);
        CHECK(on.os().send(fd, &byte, 1) == -ENOTSOCK);
        CHECK(on.os().send_message(fd, msghdr{}) == -ENOTSOCK);
        CHECK(on.set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == -ENOTSOCK);
        CHECK(on.get(fd, SOL_SOCKET, SO_ERROR) == -ENOTSOCK);
    }
}

TEST_CASE_TEMPLATE("a socket has the wildcard address until it is bound, and then a port of its own", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    CHECK(on.local(on.socket()).to_string() == "0.0.0.0:0");
    const address six = on.local(on.socket(AF_INET6));
    CHECK(six.is_any());
    CHECK(six.port() == 0);
    const owned_fd first = on.bound_to("127.0.0.1:0");
    const owned_fd second = on.bound_to("127.0.0.1:0");
    CHECK(on.local(first).port() != 0);
    CHECK(on.local(first).port() != on.local(second).port());
    CHECK(on.local(first).with_port(0) == address::parse("127.0.0.1:0"));
    CHECK(on.local(on.bound_to("[::1]:0")).with_port(0) == address::parse("[::1]:0"));
}

TEST_CASE_TEMPLATE("an address is stored as far as there is room, and its full size is told", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.bound_to("127.0.0.1:0");
    sockaddr_storage bytes{};
    auto* room = reinterpret_cast<sockaddr*>(&bytes);
    unsigned size = sizeof(sa_family_t);
    CHECK(on.os().local_address(fd, room, &size) == 0);
    CHECK(size == sizeof(sockaddr_in));
    CHECK(room->sa_family == AF_INET);
    CHECK(reinterpret_cast<sockaddr_in*>(&bytes)->sin_port == 0);
    size = sizeof bytes;
    CHECK(on.os().local_address(fd, room, &size) == 0);
    CHECK(size == sizeof(sockaddr_in));
    size = static_cast<unsigned>(-1);
    CHECK(on.os().local_address(fd, room, &size) == -EINVAL);
}

TEST_CASE_TEMPLATE("a socket is bound once", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.bound_to("127.0.0.1:0");
    CHECK(on.bind(fd, "127.0.0.1:0") == -EINVAL);
    CHECK(on.bind(fd, on.local(fd)) == -EINVAL);
    const test::ends pair = on.connected_pair();
    CHECK(on.bind(pair.left, "127.0.0.1:0") == -EINVAL);
    CHECK(on.bind(pair.right, "127.0.0.1:0") == -EINVAL);
}

TEST_CASE_TEMPLATE("an address that this host does not have cannot be bound to", Platform, EVERY_PLATFORM) {
    Platform on;
    CHECK(on.bind(on.socket(), "192.0.2.1:0") == -EADDRNOTAVAIL);
    CHECK(on.bind(on.socket(AF_INET6), "[2001:db8::1]:0") == -EADDRNOTAVAIL);
    const owned_fd fd = on.socket();
    CHECK(on.bind(fd, "192.0.2.1:0") == -EADDRNOTAVAIL);
    CHECK(on.bind(fd, "127.0.0.1:0") == 0);
    const owned_fd other_loopback = on.bound_to("127.1.2.3:0");
    CHECK(on.local(other_loopback).with_port(0).to_string() == "127.1.2.3:0");
}

TEST_CASE_TEMPLATE("an address of the wrong family or size cannot be bound to", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd four = on.socket();
    const owned_fd six = on.socket(AF_INET6);
    const address v4 = address::parse("127.0.0.1:0");
    const address v6 = address::parse("[::1]:0");
    CHECK(on.bind(four, v6) == -EAFNOSUPPORT);
    CHECK(on.bind(six, v4) == -EINVAL);  // too short, which is seen first
    sockaddr_un path{};
    path.sun_family = AF_UNIX;
    const auto* unix_path = reinterpret_cast<const sockaddr*>(&path);
    CHECK(on.os().bind(four, unix_path, sizeof path) == -EAFNOSUPPORT);
    CHECK(on.os().bind(six, unix_path, sizeof path) == -EAFNOSUPPORT);
    CHECK(on.os().bind(four, v4.data(), v4.size() - 1) == -EINVAL);
    CHECK(on.os().bind(four, v4.data(), 0) == -EINVAL);
    CHECK(on.os().bind(four, v4.data(), 1000) == -EINVAL);
    CHECK(on.os().bind(four, v4.data(), static_cast<unsigned>(-1)) == -EINVAL);
    CHECK(on.os().bind(six, v6.data(), 16) == -EINVAL);
    CHECK(on.bind(four, v4) == 0);
    CHECK(on.bind(six, v6) == 0);
}

TEST_CASE_TEMPLATE("a port is one socket's, at one address and at the wildcard", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.bound_to("127.0.0.1:0");
    const std::uint16_t port = on.local(fd).port();
    CHECK(on.bind(on.socket(), on.local(fd)) == -EADDRINUSE);
    CHECK(on.bind(on.socket(), address::parse("0.0.0.0:0").with_port(port)) == -EADDRINUSE);
    CHECK(on.bind(on.socket(), address::parse("127.0.0.2:0").with_port(port)) == 0);
    const owned_fd wide = on.bound_to("0.0.0.0:0");
    CHECK(on.bind(on.socket(), address::parse("127.0.0.1:0").with_port(on.local(wide).port())) == -EADDRINUSE);
}

TEST_CASE_TEMPLATE("a port is free again once its socket is closed", Platform, EVERY_PLATFORM) {
    Platform on;
    owned_fd fd = on.listen_on();
    const address where = on.local(fd);
    fd.close();
    CHECK(on.bind(on.socket(), where) == 0);
}

TEST_CASE_TEMPLATE("SO_REUSEADDR on both shares a port, until one of them listens", Platform, EVERY_PLATFORM) {
    Platform on;
    const auto reusing = [&] {
        owned_fd made = on.socket();
        REQUIRE(on.set(made, SOL_SOCKET, SO_REUSEADDR, 1) == 0);
        return made;
    };
    const owned_fd first = reusing();
    REQUIRE(on.bind(first, "127.0.0.1:0") == 0);
    const address where = on.local(first);
    CHECK(on.bind(on.socket(), where) == -EADDRINUSE);
    const owned_fd second = reusing();
    CHECK(on.bind(second, where) == 0);
    CHECK(on.os().listen(first, 1) == 0);
    CHECK(on.os().listen(second, 1) == -EADDRINUSE);
    CHECK(on.bind(reusing(), where) == -EADDRINUSE);
    const owned_fd plain = on.listen_on();
    CHECK(on.bind(reusing(), on.local(plain)) == -EADDRINUSE);
}

TEST_CASE_TEMPLATE("a connection left over keeps its port from all but SO_REUSEADDR on both", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    for (const bool listener_reuses : {false, true}) {
        CAPTURE(listener_reuses);
        owned_fd listener = on.socket();
        REQUIRE(on.set(listener, SOL_SOCKET, SO_REUSEADDR, listener_reuses ? 1 : 0) == 0);
        REQUIRE(on.bind(listener, "127.0.0.1:0") == 0);
        REQUIRE(on.os().listen(listener, 4) == 0);
        const address where = on.local(listener);
        owned_fd client = on.connect_to(where);
        owned_fd server = on.accept_soon(listener);
        listener.close();
        CHECK(on.bind(on.socket(), where) == -EADDRINUSE);
        {
            const owned_fd next = on.socket();
            REQUIRE(on.set(next, SOL_SOCKET, SO_REUSEADDR, 1) == 0);
            CHECK(on.bind(next, where) == (listener_reuses ? 0 : -EADDRINUSE));
            if (listener_reuses) CHECK(on.os().listen(next, 4) == 0);
        }
    }
}

// Of Linux alone: the simulated kernel forgets a connection as soon as both ends have ended it.
TEST_CASE("the side that has closed first keeps the port for a while, as a connection does: TIME_WAIT") {
    test::linux_platform on;
    for (const bool listener_reuses : {false, true}) {
        CAPTURE(listener_reuses);
        owned_fd listener = on.socket();
        REQUIRE(on.set(listener, SOL_SOCKET, SO_REUSEADDR, listener_reuses ? 1 : 0) == 0);
        REQUIRE(on.bind(listener, "127.0.0.1:0") == 0);
        REQUIRE(on.os().listen(listener, 4) == 0);
        const address where = on.local(listener);
        owned_fd client = on.connect_to(where);
        owned_fd server = on.accept_soon(listener);
        listener.close();
        server.close();
        CHECK(on.receive_soon(client) == 0);
        client.close();
        on.settle();
        CHECK(on.bind(on.socket(), where) == -EADDRINUSE);
        const owned_fd late = on.socket();
        REQUIRE(on.set(late, SOL_SOCKET, SO_REUSEADDR, 1) == 0);
        CHECK(on.bind(late, where) == (listener_reuses ? 0 : -EADDRINUSE));
    }
}

TEST_CASE_TEMPLATE("a connection that was reset leaves its port free", Platform, EVERY_PLATFORM) {
    Platform on;
    owned_fd listener = on.listen_on();
    const address where = on.local(listener);
    owned_fd client = on.connect_to(where);
    owned_fd server = on.accept_soon(listener);
    listener.close();
    on.close_by_reset(server);
    CHECK(on.receive_soon(client) == -ECONNRESET);
    CHECK(on.bind(on.socket(), where) == 0);
}

TEST_CASE_TEMPLATE("SO_REUSEPORT on all lets several listen, and each connection goes to one", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const auto sharing = [&] {
        owned_fd made = on.socket();
        REQUIRE(on.set(made, SOL_SOCKET, SO_REUSEPORT, 1) == 0);
        return made;
    };
    const owned_fd first = sharing();
    REQUIRE(on.bind(first, "127.0.0.1:0") == 0);
    const address where = on.local(first);
    const owned_fd second = sharing();
    CHECK(on.bind(second, where) == 0);
    CHECK(on.os().listen(first, 16) == 0);
    CHECK(on.os().listen(second, 16) == 0);
    CHECK(on.bind(on.socket(), where) == -EADDRINUSE);
    std::vector<owned_fd> clients;
    for (int i = 0; i < 8; ++i) clients.push_back(on.connect_to(where));
    std::vector<owned_fd> servers;
    CHECK(on.eventually([&] {
        for (const int listener : {int{first}, int{second}})
            for (int fd; (fd = on.os().accept(listener)) >= 0;) servers.push_back(on.own(fd));
        return servers.size() == clients.size();
    }));
}

TEST_CASE_TEMPLATE("an IPv6 socket at the wildcard takes the port of IPv4 too, unless IPV6_V6ONLY", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd dual = on.bound_to("[::]:0");
    const std::uint16_t port = on.local(dual).port();
    CHECK(on.bind(on.socket(), address::parse("0.0.0.0:0").with_port(port)) == -EADDRINUSE);
    CHECK(on.bind(on.socket(), address::parse("127.0.0.1:0").with_port(port)) == -EADDRINUSE);
    CHECK(on.set(dual, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -EINVAL);  // too late

    const owned_fd six = on.socket(AF_INET6);
    CHECK(on.set(six, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0);
    CHECK(on.get(six, IPPROTO_IPV6, IPV6_V6ONLY) == 1);
    CHECK(on.bind(six, "[::ffff:127.0.0.1]:0") == -EINVAL);
    CHECK(on.bind(six, "[::]:0") == 0);
    // The port was chosen without a look at IPv4, where it may be somebody's.
    CHECK(on.eventually([&] {
        const owned_fd only_six = on.socket(AF_INET6);
        REQUIRE(on.set(only_six, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0);
        REQUIRE(on.bind(only_six, "[::]:0") == 0);
        return on.bind(on.socket(), address::parse("0.0.0.0:0").with_port(on.local(only_six).port())) == 0;
    }));
}

TEST_CASE_TEMPLATE("an IPv4 address written as IPv6 is the same place", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd mapped = on.listen_on("[::ffff:127.0.0.1]:0");
    const std::uint16_t port = on.local(mapped).port();
    CHECK(on.local(mapped).with_port(0) == address::parse("[::ffff:127.0.0.1]:0"));
    CHECK(on.bind(on.socket(), address::parse("127.0.0.1:0").with_port(port)) == -EADDRINUSE);
    CHECK(on.bind(on.socket(AF_INET6), address::parse("[::1]:0").with_port(port)) == 0);
    const owned_fd client = on.connect_to(address::parse("127.0.0.1:0").with_port(port));
    const owned_fd server = on.accept_soon(mapped);
    CHECK(on.peer(server) == address::parse("[::ffff:127.0.0.1]:0").with_port(on.local(client).port()));
    CHECK(on.peer(client).with_port(0) == address::parse("127.0.0.1:0"));
    const owned_fd v4 = on.listen_on();
    const owned_fd through_six = on.connect_to(address::parse("[::ffff:127.0.0.1]:0").with_port(on.local(v4).port()));
    CHECK(on.peer(on.accept_soon(v4)) == address::parse("127.0.0.1:0").with_port(on.local(through_six).port()));
}

TEST_CASE_TEMPLATE("listening needs no bind, takes another backlog, and not a connected socket", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.socket();
    CHECK(on.get(fd, SOL_SOCKET, SO_ACCEPTCONN) == 0);
    CHECK(on.os().listen(fd, 1) == 0);
    CHECK(on.get(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1);
    CHECK(on.local(fd).is_any());
    CHECK(on.local(fd).port() != 0);
    CHECK(on.os().listen(fd, 5) == 0);
    CHECK(on.os().listen(fd, -1) == 0);
    CHECK(on.os().accept(fd) == -EAGAIN);
    CHECK(on.bind(fd, "127.0.0.1:0") == -EINVAL);
    const test::ends pair = on.connected_pair();
    CHECK(on.os().listen(pair.left, 1) == -EINVAL);
    CHECK(on.os().listen(pair.right, 1) == -EINVAL);
}

TEST_CASE_TEMPLATE("a listening socket is no stream", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.listen_on();
    CHECK(on.bits(fd) == "");
    CHECK(on.receive(fd) == -ENOTCONN);
    CHECK(on.send(fd, "x") == -EPIPE);
    CHECK(on.peer_result(fd) == -ENOTCONN);
    CHECK(on.connect(fd, on.closed_port()) == -EISCONN);
    CHECK(on.error_of(fd) == 0);
}

TEST_CASE_TEMPLATE("SHUT_RD ends listening, SHUT_WR does not, and it can begin anew", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.listen_on();
    const address where = on.local(fd);
    CHECK(on.os().shutdown(fd, SHUT_WR) == 0);
    CHECK(on.os().accept(fd) == -EAGAIN);
    CHECK(on.os().shutdown(fd, SHUT_RD) == 0);
    CHECK(on.os().accept(fd) == -EINVAL);
    CHECK(on.bits(fd) == "OUT HUP");
    CHECK(on.bind(on.socket(), where) == 0);  // a port that the kernel chose is given back
    CHECK(on.os().listen(fd, 4) == 0);
    CHECK(on.local(fd).with_port(0) == where.with_port(0));
    const owned_fd client = on.connect_to(on.local(fd));
    const owned_fd server = on.accept_soon(fd);
}
