// What every kernel answers about the making of TCP connections: connect, accept, and what each of them can meet.

#include <support/platform.hpp>

using cove::address;
using test::any_edge;
using test::any_event;
using test::owned_fd;
using test::poller;

namespace {

// A connect that nobody answers: the listener's queue is full.
struct unanswered {
    explicit unanswered(test::platform& on)
        : listener(on.listen_on("127.0.0.1:0", 0)),
          first(on.connect_to(on.local(listener))),
          second(on.start_connect(on.local(listener))) {
        on.settle();
    }
    owned_fd listener;
    owned_fd first;
    owned_fd second;
};

}  // namespace

TEST_CASE_TEMPLATE("a socket that is not connected tells OUT and HUP, and ENOTCONN to all that needs a peer", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    for (const owned_fd& fd : {on.socket(), on.bound_to("127.0.0.1:0")}) {
        CHECK(on.bits(fd) == "OUT HUP");
        CHECK(on.receive(fd) == -ENOTCONN);
        CHECK(on.send(fd, "x") == -EPIPE);
        CHECK(on.peer_result(fd) == -ENOTCONN);
        CHECK(on.os().accept(fd) == -EINVAL);
        CHECK(on.error_of(fd) == 0);
    }
}

TEST_CASE_TEMPLATE("shutdown of a socket that is not connected is ENOTCONN", Platform, EVERY_PLATFORM) {
    Platform on;
    for (const int how : {SHUT_RD, SHUT_WR, SHUT_RDWR}) CHECK(on.os().shutdown(on.socket(), how) == -ENOTCONN);
    CHECK(on.os().shutdown(on.socket(), 3) == -EINVAL);
    CHECK(on.os().shutdown(on.socket(), -1) == -EINVAL);
}

TEST_CASE_TEMPLATE("a connect is in progress first; then the socket is writable, without an error", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    for (const char* where : {"127.0.0.1:0", "[::1]:0"}) {
        const owned_fd listener = on.listen_on(where);
        const owned_fd client = on.socket(on.local(listener).family());
        CHECK(on.connect(client, on.local(listener)) == -EINPROGRESS);
        CHECK(on.local(client).with_port(0) == address::parse(where));  // at once
        CHECK(on.local(client).port() != 0);
        CHECK(on.bits_soon(client) == "OUT");
        CHECK(on.error_of(client) == 0);
        CHECK(on.peer(client) == on.local(listener));
        const owned_fd server = on.accept_soon(listener);
        CHECK(on.bits(server) == "OUT");
        CHECK(on.peer(server) == on.local(client));
        CHECK(on.local(server) == on.local(client).with_port(on.local(listener).port()));
    }
}

TEST_CASE_TEMPLATE("a connect to the wildcard address is one to this host", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on("0.0.0.0:0");
    const owned_fd client = on.connect_to(on.local(listener));
    CHECK(on.peer(client) == address::parse("127.0.0.1:0").with_port(on.local(listener).port()));
    const owned_fd server = on.accept_soon(listener);
    CHECK(on.local(server) == on.peer(client));
}

TEST_CASE_TEMPLATE("a listener at both wildcards tells peers of both families", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on("[::]:0");
    const std::uint16_t port = on.local(listener).port();
    const owned_fd four = on.connect_to(address::parse("127.0.0.1:0").with_port(port));
    CHECK(on.peer(on.accept_soon(listener)) == address::parse("[::ffff:127.0.0.1]:0").with_port(on.local(four).port()));
    const owned_fd six = on.connect_to(address::parse("[::1]:0").with_port(port));
    CHECK(on.peer(on.accept_soon(listener)) == on.local(six));
}

TEST_CASE_TEMPLATE("a bound socket connects from where it is bound", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    const owned_fd client = on.bound_to("127.0.0.2:0");
    const address from = on.local(client);
    CHECK(on.connect(client, on.local(listener)) == -EINPROGRESS);
    CHECK(on.bits_soon(client) == "OUT");
    CHECK(on.local(client) == from);
    CHECK(on.peer(on.accept_soon(listener)) == from);
}

TEST_CASE_TEMPLATE("a connection that exists cannot be made twice", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    const owned_fd first = on.socket();
    const owned_fd second = on.socket();
    for (const int fd : {int{first}, int{second}}) CHECK(on.set(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0);
    CHECK(on.bind(first, "127.0.0.1:0") == 0);
    CHECK(on.bind(second, on.local(first)) == 0);
    CHECK(on.connect(first, on.local(listener)) == -EINPROGRESS);
    CHECK(on.connect(second, on.local(listener)) == -EADDRNOTAVAIL);
}

TEST_CASE_TEMPLATE("a refused connect sets every bit, and SO_ERROR tells why once", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.start_connect(on.closed_port());
    CHECK(on.bits_soon(fd) == "IN OUT ERR HUP RDHUP");
    CHECK(on.peer_result(fd) == -ENOTCONN);
    CHECK(on.error_of(fd) == ECONNREFUSED);
    CHECK(on.error_of(fd) == 0);
    CHECK(on.bits(fd) == "IN OUT HUP RDHUP");
    CHECK(on.receive(fd) == 0);
    CHECK(on.send(fd, "x") == -EPIPE);
    CHECK(on.os().shutdown(fd, SHUT_RDWR) == -ENOTCONN);
}

TEST_CASE_TEMPLATE("why a connect was refused is told once by whatever call comes first", Platform, EVERY_PLATFORM) {
    Platform on;
    const address nobody = on.closed_port();
    const owned_fd reader = on.start_connect(nobody);
    CHECK(on.bits_soon(reader) == "IN OUT ERR HUP RDHUP");
    CHECK(on.receive(reader) == -ECONNREFUSED);
    CHECK(on.receive(reader) == 0);
    CHECK(on.error_of(reader) == 0);
    const owned_fd writer = on.start_connect(nobody);
    CHECK(on.bits_soon(writer) == "IN OUT ERR HUP RDHUP");
    CHECK(on.send(writer, "x") == -ECONNREFUSED);
    CHECK(on.send(writer, "x") == -EPIPE);
    CHECK(on.error_of(writer) == 0);
    const owned_fd connector = on.start_connect(nobody);
    CHECK(on.bits_soon(connector) == "IN OUT ERR HUP RDHUP");
    CHECK(on.connect(connector, nobody) == -ECONNREFUSED);
    CHECK(on.error_of(connector) == 0);
}

TEST_CASE_TEMPLATE("a refused socket can connect again, after one connect that tells of the refusal", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    for (const bool error_was_read : {false, true}) {
        CAPTURE(error_was_read);
        const owned_fd fd = on.start_connect(on.closed_port());
        CHECK(on.bits_soon(fd) == "IN OUT ERR HUP RDHUP");
        if (error_was_read) CHECK(on.error_of(fd) == ECONNREFUSED);
        CHECK(on.connect(fd, on.local(listener)) == (error_was_read ? -ECONNABORTED : -ECONNREFUSED));
        CHECK(on.connect(fd, on.local(listener)) == -EINPROGRESS);
        CHECK(on.bits_soon(fd) == "OUT");
        CHECK(on.error_of(fd) == 0);
        const owned_fd server = on.accept_soon(listener);
        CHECK(on.send(server, "hello") == 5);
        CHECK(on.read(fd, 5) == "hello");
    }
}

TEST_CASE_TEMPLATE("a second connect is 0 once, when there is a connection, and EISCONN from then on", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    const owned_fd client = on.connect_to(on.local(listener));
    CHECK(on.connect(client, on.local(listener)) == 0);
    CHECK(on.connect(client, on.local(listener)) == -EISCONN);
    CHECK(on.connect(client, on.closed_port()) == -EISCONN);
    const owned_fd server = on.accept_soon(listener);
    CHECK(on.connect(server, on.local(listener)) == -EISCONN);
    CHECK(on.error_of(client) == 0);
}

TEST_CASE_TEMPLATE("while nobody answers, a connect has no readiness and every other call its own error", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const unanswered connects(on);
    const int fd = connects.second;
    CHECK(on.bits(fd) == "");
    CHECK(on.error_of(fd) == 0);
    CHECK(on.connect(fd, on.local(connects.listener)) == -EALREADY);
    CHECK(on.peer_result(fd) == -ENOTCONN);
    CHECK(on.local(fd).port() != 0);
    CHECK(on.receive(fd) == -EAGAIN);
    CHECK(on.send(fd, "x") == -EAGAIN);
    CHECK(on.os().listen(fd, 1) == -EINVAL);
    CHECK(on.bind(fd, "127.0.0.1:0") == -EINVAL);
    CHECK(on.os().accept(fd) == -EINVAL);
}

TEST_CASE_TEMPLATE("a listener with backlog 0 completes one connect, and the others once there is room", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on("127.0.0.1:0", 0);
    std::vector<owned_fd> clients;
    clients.push_back(on.connect_to(on.local(listener)));
    for (int i = 1; i < 4; ++i) clients.push_back(on.start_connect(on.local(listener)));
    const auto connected = [&] {
        int count = 0;
        for (const owned_fd& each : clients) count += on.bits(each) == "OUT" ? 1 : 0;
        return count;
    };
    on.settle();
    CHECK(connected() == 1);
    const owned_fd server = on.accept_soon(listener);
    on.settle();
    CHECK(connected() == 1);
    CHECK(on.eventually([&] { return connected() > 1; }));  // a client asks again after a second
}

TEST_CASE_TEMPLATE("a backlog has room for one more than its number", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on("127.0.0.1:0", 3);
    std::vector<owned_fd> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(on.connect_to(on.local(listener)));
    const owned_fd late = on.start_connect(on.local(listener));
    on.settle();
    CHECK(on.bits(late) == "");
    for (const owned_fd& each : clients) CHECK(on.peer(on.accept_soon(listener)) == on.local(each));
    on.settle();
    CHECK(on.os().accept(listener) == -EAGAIN);
}

TEST_CASE_TEMPLATE("shutdown breaks off a connect that nobody answers, and the socket can connect again", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const unanswered connects(on);
    const owned_fd listener = on.listen_on();
    for (const int how : {SHUT_RD, SHUT_WR, SHUT_RDWR}) {
        const owned_fd fd = on.start_connect(on.local(connects.listener));
        CHECK(on.os().shutdown(fd, how) == 0);
        CHECK(on.bits(fd) == "OUT ERR HUP");
        CHECK(on.error_of(fd) == ECONNRESET);
        CHECK(on.bits(fd) == "OUT HUP");
        CHECK(on.receive(fd) == -ENOTCONN);
        CHECK(on.connect(fd, on.local(listener)) == -EINPROGRESS);
        CHECK(on.bits_soon(fd) == "OUT");
    }
}

TEST_CASE_TEMPLATE("when the listener is closed, who nobody has answered is refused", Platform, EVERY_PLATFORM) {
    Platform on;
    unanswered connects(on);
    connects.listener.close();
    CHECK(on.bits_soon(connects.first) == "IN OUT ERR HUP RDHUP");
    CHECK(on.receive(connects.first) == -ECONNRESET);
    CHECK(on.bits_soon(connects.second) == "IN OUT ERR HUP RDHUP");  // it asks again after a second
    CHECK(on.error_of(connects.second) == ECONNREFUSED);
}

TEST_CASE_TEMPLATE("a connecting socket that is closed never reaches the listener", Platform, EVERY_PLATFORM) {
    Platform on;
    unanswered connects(on);
    CHECK(connects.second.close() == 0);
    const owned_fd first = on.accept_soon(connects.listener);
    on.settle();
    CHECK(on.os().accept(connects.listener) == -EAGAIN);
}

TEST_CASE_TEMPLATE("port 0 is no place to connect to", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.socket();
    CHECK(on.connect(fd, "127.0.0.1:0") == -EINPROGRESS);
    CHECK(on.bits_soon(fd) == "IN OUT ERR HUP RDHUP");
    CHECK(on.error_of(fd) == ECONNREFUSED);
}

TEST_CASE_TEMPLATE("an address of the wrong family or size cannot be connected to", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    const address v4 = on.local(listener);
    const address v6 = address::parse("[::1]:9");
    const owned_fd four = on.socket();
    const owned_fd six = on.socket(AF_INET6);
    CHECK(on.connect(four, v6) == -EAFNOSUPPORT);
    CHECK(on.connect(six, v4) == -EINVAL);
    CHECK(on.os().connect(four, v4.data(), v4.size() - 1) == -EINVAL);
    CHECK(on.os().connect(four, v4.data(), 0) == -EINVAL);
    CHECK(on.os().connect(four, v4.data(), 1000) == -EINVAL);
    CHECK(on.os().connect(six, v6.data(), 16) == -EINVAL);
    CHECK(on.connect(four, v4) == -EINPROGRESS);
}

TEST_CASE_TEMPLATE("a socket that connects to its own address is its own peer", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.bound_to("127.0.0.1:0");
    CHECK(on.connect(fd, on.local(fd)) == -EINPROGRESS);
    CHECK(on.bits_soon(fd) == "OUT");
    CHECK(on.peer(fd) == on.local(fd));
    CHECK(on.send(fd, "echo") == 4);
    CHECK(on.read(fd, 4) == "echo");
}

TEST_CASE_TEMPLATE("accept is EAGAIN without a connection, and hands them out in their order", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    CHECK(on.os().accept(listener) == -EAGAIN);
    CHECK(on.bits(listener) == "");
    std::vector<owned_fd> clients;
    for (int i = 0; i < 5; ++i) clients.push_back(on.connect_to(on.local(listener)));
    CHECK(on.bits_soon(listener) == "IN");
    for (const owned_fd& each : clients) CHECK(on.peer(on.accept_soon(listener)) == on.local(each));
    CHECK(on.os().accept(listener) == -EAGAIN);
    CHECK(on.bits(listener) == "");
    CHECK(on.os().accept(on.socket()) == -EINVAL);
    CHECK(on.os().accept(clients[0]) == -EINVAL);
}

TEST_CASE_TEMPLATE("data and an end that came before the accept are there after it", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    owned_fd client = on.connect_to(on.local(listener));
    CHECK(on.send(client, "early") == 5);
    CHECK(client.close() == 0);
    on.settle();
    const owned_fd server = on.accept_soon(listener);
    CHECK(on.bits_soon(server) == "IN OUT RDHUP");
    CHECK(on.read(server, 5) == "early");
    CHECK(on.receive_soon(server) == 0);
    CHECK(on.is_connected(server));
}

TEST_CASE_TEMPLATE("a connection that was reset before the accept is accepted, without a peer", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    owned_fd client = on.connect_to(on.local(listener));
    on.close_by_reset(client);
    on.settle();
    CHECK(on.bits(listener) == "IN");
    const owned_fd server = on.accept_soon(listener);
    CHECK(on.bits_soon(server) == "IN OUT ERR HUP RDHUP");
    CHECK(on.peer_result(server) == -ENOTCONN);
    CHECK(on.os().shutdown(server, SHUT_RDWR) == -ENOTCONN);
    CHECK(on.receive(server) == -ECONNRESET);
    CHECK(on.receive(server) == 0);
}

TEST_CASE_TEMPLATE("a listener that is closed resets what nobody has accepted, and keeps what somebody has", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    owned_fd listener = on.listen_on();
    const address where = on.local(listener);
    const owned_fd accepted = on.connect_to(where);
    const owned_fd server = on.accept_soon(listener);
    const owned_fd waiting = on.connect_to(where);
    CHECK(listener.close() == 0);
    CHECK(on.bits_soon(waiting) == "IN OUT ERR HUP RDHUP");
    CHECK(on.receive(waiting) == -ECONNRESET);
    CHECK(on.send(accepted, "kept") == 4);
    CHECK(on.read(server, 4) == "kept");
    const owned_fd late = on.start_connect(where);
    CHECK(on.bits_soon(late) == "IN OUT ERR HUP RDHUP");
    CHECK(on.error_of(late) == ECONNREFUSED);
}

TEST_CASE_TEMPLATE("a connect's end is an edge, and what a fresh socket tells is another", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    const owned_fd client = on.socket();
    poller set(on);
    CHECK(set.add(client, any_edge) == 0);
    CHECK(set.bits_now() == "OUT HUP");
    CHECK(set.bits_now() == "");
    CHECK(on.connect(client, on.local(listener)) == -EINPROGRESS);
    CHECK(on.bits_soon(client) == "OUT");
    CHECK(set.bits_now() == "OUT");
    CHECK(set.is_silent());
    const owned_fd refused = on.socket();
    CHECK(on.connect(refused, on.closed_port()) == -EINPROGRESS);
    CHECK(set.add(refused, any_edge) == 0);
    CHECK(on.bits_soon(refused) == "IN OUT ERR HUP RDHUP");
    CHECK(on.eventually([&] { return set.bits_now() == "IN OUT ERR HUP RDHUP"; }));
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("edge-triggered, each connection is an edge of its listener, accepted or not", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    poller set(on);
    poller level(on);
    CHECK(set.add(listener, any_edge) == 0);
    CHECK(level.add(listener, any_event) == 0);
    CHECK(set.is_silent());
    std::vector<owned_fd> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(on.connect_to(on.local(listener)));
        CHECK(on.eventually([&] { return set.bits_now() == "IN"; }));
        CHECK(set.is_silent());
    }
    for (int i = 0; i < 3; ++i) {
        CHECK(level.bits_now() == "IN");
        const owned_fd accepted = on.accept_soon(listener);
        CHECK(set.is_silent());
    }
    CHECK(level.is_silent());
}
