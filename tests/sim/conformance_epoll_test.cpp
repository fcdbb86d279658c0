// What every kernel answers about readiness: level and edge, registrations, events, pollers.

#include <support/platform.hpp>

using cove::kernel;
using test::any_edge;
using test::any_event;
using test::owned_fd;
using test::poller;
using words = std::vector<std::uint64_t>;

TEST_CASE_TEMPLATE("a descriptor is registered once per poller", Platform, EVERY_PLATFORM) {
    Platform on;
    poller set(on);
    poller other(on);
    const owned_fd event = on.event();
    CHECK(set.mod(event, any_event) == -ENOENT);
    CHECK(set.del(event) == -ENOENT);
    CHECK(set.add(event, any_event) == 0);
    CHECK(set.add(event, any_event) == -EEXIST);
    CHECK(other.add(event, any_event) == 0);
    CHECK(set.mod(event, 0) == 0);
    CHECK(set.del(event) == 0);
    CHECK(set.del(event) == -ENOENT);
    CHECK(set.bits_now() == "");
    CHECK(other.bits_now() == "OUT");
    CHECK(set.add(event, any_event) == 0);
}

TEST_CASE_TEMPLATE("a poller cannot hold itself, and what is no poller holds nothing", Platform, EVERY_PLATFORM) {
    Platform on;
    poller set(on);
    const owned_fd event = on.event();
    const owned_fd socket = on.socket();
    CHECK(set.add(set.fd(), any_event) == -EINVAL);
    CHECK(on.os().control(event, kernel::registration::add, socket, {any_event, 0}) == -EINVAL);
    CHECK(on.os().control(socket, kernel::registration::add, event, {any_event, 0}) == -EINVAL);
    cove::readiness_event none;
    CHECK(on.os().wait(event, &none, 1, cove::duration::zero()) == -EINVAL);
    CHECK(on.os().wait(set.fd(), &none, 0, cove::duration::zero()) == -EINVAL);
    CHECK(on.os().wait(set.fd(), &none, -1, cove::duration::zero()) == -EINVAL);
}

TEST_CASE_TEMPLATE("a wait for nothing lasts as long as was asked, at least", Platform, EVERY_PLATFORM) {
    Platform on;
    poller set(on);
    cove::readiness_event none;
    for (const cove::duration limit : {cove::duration(1), cove::duration(999'999), cove::duration(3'000'001)}) {
        const cove::time_point start = on.os().now();
        CHECK(on.os().wait(set.fd(), &none, 1, limit) == 0);
        CHECK(on.os().now() - start >= limit);
    }
}

TEST_CASE_TEMPLATE("an event brings back the word of its registration", Platform, EVERY_PLATFORM) {
    Platform on;
    poller set(on);
    const owned_fd event = on.event();
    CHECK(set.add(event, any_event, ~std::uint64_t{0}) == 0);
    CHECK(set.data_now() == words{~std::uint64_t{0}});
    CHECK(set.mod(event, any_event, std::uint64_t{1} << 32) == 0);
    CHECK(set.data_now() == words{std::uint64_t{1} << 32});
}

TEST_CASE_TEMPLATE("level-triggered, readiness is told as long as it lasts", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, kernel::event_in) == 0);
    CHECK(set.bits_now() == "");
    CHECK(on.send(pair.right, "ab") == 2);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    for (int i = 0; i < 3; ++i) CHECK(set.bits_now() == "IN");
    CHECK(on.read(pair.left, 1) == "a");
    CHECK(set.bits_now() == "IN");
    CHECK(on.read(pair.left, 1) == "b");
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("edge-triggered, readiness is told once, and anew when more arrives, drained or not", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, kernel::event_in | kernel::event_edge) == 0);
    CHECK(set.is_silent());
    for (int i = 1; i <= 3; ++i) {
        CHECK(on.send(pair.right, "x") == 1);
        CHECK(on.eventually([&] { return set.bits_now() == "IN"; }));
        CHECK(set.is_silent());
    }
    CHECK(on.read(pair.left, 2) == "xx");
    CHECK(set.is_silent());  // what is left was told
    CHECK(on.read(pair.left, 1) == "x");
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("edge-triggered, data that arrives between two waits is one event", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, kernel::event_in | kernel::event_edge) == 0);
    for (int i = 0; i < 3; ++i) CHECK(on.send(pair.right, "x") == 1);
    on.settle();
    CHECK(set.bits_now() == "IN");
    CHECK(set.is_silent());
    // An edge whose cause is gone before anybody waits is not told.
    CHECK(on.send(pair.right, "x") == 1);
    on.settle();
    CHECK(on.read(pair.left, 4) == "xxxx");
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("edge-triggered, an arrival brings along OUT if the socket is writable", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, any_edge) == 0);
    CHECK(set.bits_now() == "OUT");
    CHECK(set.is_silent());
    CHECK(on.send(pair.right, "x") == 1);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    CHECK(set.bits_now() == "IN OUT");
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("who asks for OUT alone hears nothing of data, but OUT again at the end", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, kernel::event_out | kernel::event_edge) == 0);
    CHECK(set.bits_now() == "OUT");
    CHECK(on.send(pair.right, "x") == 1);
    CHECK(set.is_silent());
    CHECK(on.os().shutdown(pair.right, SHUT_WR) == 0);
    CHECK(on.bits_soon(pair.left) == "IN OUT RDHUP");
    CHECK(set.bits_now() == "OUT");
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("one's own sends, and what the peer reads of them, are no events", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, any_edge) == 0);
    CHECK(set.bits_now() == "OUT");
    CHECK(on.send(pair.left, "hello") == 5);
    CHECK(set.is_silent());
    CHECK(on.read(pair.right, 5) == "hello");
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("edge-triggered, data and an end that arrived together are one event", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, any_edge) == 0);
    CHECK(set.bits_now() == "OUT");
    CHECK(on.send(pair.right, "bye") == 3);
    CHECK(on.os().shutdown(pair.right, SHUT_WR) == 0);
    CHECK(on.bits_soon(pair.left) == "IN OUT RDHUP");
    CHECK(set.bits_now() == "IN OUT RDHUP");
    CHECK(on.read(pair.left, 3) == "bye");
    CHECK(set.is_silent());
    CHECK(on.receive(pair.left) == 0);
}

TEST_CASE_TEMPLATE("edge-triggered, an end and then a reset are two events", Platform, EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, kernel::event_in | kernel::event_read_hang_up | kernel::event_edge) == 0);
    CHECK(on.os().shutdown(pair.right, SHUT_WR) == 0);
    CHECK(on.bits_soon(pair.left) == "IN OUT RDHUP");
    CHECK(set.bits_now() == "IN RDHUP");
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(set.bits_now() == "IN ERR HUP RDHUP");
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("edge-triggered, shutdown of one's own is an event, also one that fails", Platform, EVERY_PLATFORM) {
    Platform on;
    // After SHUT_WR another one comes at some time: the peer's kernel has acknowledged the end.
    for (const auto& [how, told] :
         {std::pair{SHUT_WR, "OUT"}, std::pair{SHUT_RD, "IN OUT RDHUP"}, std::pair{SHUT_RDWR, "IN OUT HUP RDHUP"}}) {
        const test::ends pair = on.connected_pair();
        poller set(on);
        CHECK(set.add(pair.left, any_edge) == 0);
        CHECK(set.bits_now() == "OUT");
        CHECK(on.os().shutdown(pair.left, how) == 0);
        CHECK(set.bits_now() == told);
    }
    const owned_fd fresh = on.socket();
    poller set(on);
    CHECK(set.add(fresh, any_edge) == 0);
    CHECK(set.bits_now() == "OUT HUP");
    CHECK(on.os().shutdown(fresh, SHUT_RDWR) == -ENOTCONN);
    CHECK(set.bits_now() == "IN OUT HUP RDHUP");
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("a registration tells what is ready already, and a changed one tells it again", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    CHECK(on.send(pair.right, "x") == 1);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    poller set(on);
    CHECK(set.add(pair.left, any_edge) == 0);
    CHECK(set.bits_now() == "IN OUT");
    CHECK(set.bits_now() == "");
    CHECK(set.mod(pair.left, any_edge) == 0);
    CHECK(set.bits_now() == "IN OUT");
    CHECK(set.bits_now() == "");
    CHECK(set.mod(pair.left, kernel::event_in | kernel::event_edge) == 0);
    CHECK(set.bits_now() == "IN");
    CHECK(set.mod(pair.left, kernel::event_read_hang_up | kernel::event_edge) == 0);
    CHECK(set.is_silent());
    CHECK(set.mod(pair.left, kernel::event_out | kernel::event_edge) == 0);
    CHECK(set.bits_now() == "OUT");
}

TEST_CASE_TEMPLATE("an event that is not asked for any more is not told", Platform, EVERY_PLATFORM) {
    Platform on;
    poller set(on);
    const owned_fd first = on.event();
    const owned_fd second = on.event();
    CHECK(set.add(first, kernel::event_out | kernel::event_edge, 1) == 0);
    CHECK(set.add(second, kernel::event_out | kernel::event_edge, 2) == 0);
    CHECK(set.mod(first, kernel::event_in | kernel::event_edge, 1) == 0);
    CHECK(set.data_now() == words{2});
    CHECK(set.mod(second, kernel::event_out | kernel::event_edge, 2) == 0);
    CHECK(set.del(second) == 0);
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("ONESHOT tells one event, then nothing, not even a reset, until it is changed", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, kernel::event_in | kernel::event_one_shot) == 0);
    CHECK(on.send(pair.right, "x") == 1);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    CHECK(set.bits_now() == "IN");
    CHECK(set.is_silent());
    CHECK(set.mod(pair.left, kernel::event_in | kernel::event_one_shot) == 0);
    CHECK(set.bits_now() == "IN");
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(set.is_silent());
    CHECK(set.add(pair.left, kernel::event_in) == -EEXIST);
    CHECK(set.mod(pair.left, kernel::event_in) == 0);
    CHECK(set.bits_now() == "IN ERR HUP");
}

TEST_CASE_TEMPLATE("who asks for nothing still hears of HUP and ERR, as long as they last", Platform, EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, 0) == 0);
    CHECK(on.send(pair.right, "x") == 1);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    CHECK(set.is_silent());
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    for (int i = 0; i < 100; ++i) CHECK(set.bits_now() == "ERR HUP");
    CHECK(on.error_of(pair.left) == ECONNRESET);
    for (int i = 0; i < 3; ++i) CHECK(set.bits_now() == "HUP");
}

TEST_CASE_TEMPLATE("what does not fit is told by the next wait, in turn", Platform, EVERY_PLATFORM) {
    Platform on;
    poller level(on);
    poller edge(on);
    std::vector<owned_fd> events;
    for (std::uint64_t i = 0; i < 5; ++i) {
        events.push_back(on.event());
        CHECK(level.add(events.back(), kernel::event_in, i) == 0);
        CHECK(edge.add(events.back(), kernel::event_in | kernel::event_edge, i) == 0);
    }
    for (const std::size_t i : {3U, 0U, 4U, 1U, 2U}) CHECK(on.os().signal_event(events[i]) == 0);
    CHECK(level.data_now(2) == words{3, 0});
    CHECK(level.data_now(2) == words{4, 1});
    CHECK(level.data_now(2) == words{2, 3});
    CHECK(level.data_now(2) == words{0, 4});
    CHECK(level.data_now() == words{1, 2, 3, 0, 4});
    CHECK(edge.data_now(2) == words{3, 0});
    CHECK(edge.data_now(2) == words{4, 1});
    CHECK(on.os().signal_event(events[0]) == 0);
    CHECK(on.os().signal_event(events[2]) == 0);  // waits for its turn already
    CHECK(edge.data_now() == words{2, 0});
    CHECK(edge.is_silent());
}

TEST_CASE_TEMPLATE("what is registered when it is ready stands in line by its registration", Platform, EVERY_PLATFORM) {
    Platform on;
    poller set(on);
    const owned_fd first = on.event();
    const owned_fd second = on.event();
    CHECK(set.add(second, kernel::event_out | kernel::event_edge, 2) == 0);
    CHECK(set.add(first, kernel::event_out | kernel::event_edge, 1) == 0);
    CHECK(set.data_now() == words{2, 1});
    CHECK(set.mod(first, kernel::event_out | kernel::event_edge, 1) == 0);
    CHECK(set.mod(second, kernel::event_out | kernel::event_edge, 2) == 0);
    CHECK(set.mod(first, kernel::event_out | kernel::event_edge, 3) == 0);  // keeps its place
    CHECK(set.data_now() == words{3, 2});
}

TEST_CASE_TEMPLATE("a close ends the registration, also for who gets the number next", Platform, EVERY_PLATFORM) {
    Platform on;
    poller set(on);
    owned_fd gone = on.event();
    const int number = gone;
    CHECK(set.add(gone, any_event, 1) == 0);
    CHECK(set.data_now() == words{1});
    gone.close();
    CHECK(set.is_silent());
    const owned_fd next = on.event();
    REQUIRE(next == number);
    CHECK(set.is_silent());
    CHECK(set.del(next) == -ENOENT);
    CHECK(set.add(next, any_event, 2) == 0);
    CHECK(set.data_now() == words{2});
}

TEST_CASE_TEMPLATE("a poller that is closed leaves what it held alone", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd event = on.event();
    {
        poller set(on);
        CHECK(set.add(event, any_event) == 0);
    }
    CHECK(on.bits(event) == "OUT");
    CHECK(on.os().signal_event(event) == 0);
    CHECK(on.bits(event) == "IN OUT");
}

TEST_CASE_TEMPLATE("each signal of an event is an edge, and nobody has to read it", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd event = on.event();
    poller edge(on);
    poller level(on);
    CHECK(edge.add(event, kernel::event_in | kernel::event_edge) == 0);
    CHECK(level.add(event, kernel::event_in) == 0);
    CHECK(edge.bits_now() == "");
    CHECK(level.bits_now() == "");
    for (int i = 0; i < 3; ++i) {
        CHECK(on.os().signal_event(event) == 0);
        CHECK(edge.bits_now() == "IN");
        CHECK(edge.bits_now() == "");
        for (int j = 0; j < 3; ++j) CHECK(level.bits_now() == "IN");
    }
    CHECK(on.os().signal_event(event) == 0);
    CHECK(on.os().signal_event(event) == 0);
    CHECK(edge.bits_now() == "IN");
    CHECK(edge.bits_now() == "");
    CHECK(on.bits(event) == "IN OUT");
}

TEST_CASE_TEMPLATE(
    "without a free descriptor accept is EMFILE, and the connection waits; only level trigger repeats it", Platform,
    EVERY_PLATFORM) {
    Platform on;
    const owned_fd listener = on.listen_on();
    const owned_fd client = on.connect_to(on.local(listener));
    CHECK(on.bits_soon(listener) == "IN");
    poller level(on);
    poller edge(on);
    CHECK(level.add(listener, any_event) == 0);
    CHECK(edge.add(listener, any_edge) == 0);
    std::vector<owned_fd> rest;
    constexpr std::size_t rest_max = 70'000;
    int last = 0;
    while (rest.size() < rest_max && (last = on.os().create_event()) >= 0) rest.push_back(on.own(last));
    if (rest.size() == rest_max) return;  // this process may have more descriptors than can be tried
    CHECK(last == -EMFILE);
    CHECK(on.os().socket(AF_INET, SOCK_STREAM, 0) == -EMFILE);
    CHECK(on.os().create_poller() == -EMFILE);
    CHECK(edge.bits_now() == "IN");
    for (int i = 0; i < 10; ++i) {
        CHECK(on.os().accept(listener) == -EMFILE);
        CHECK(level.bits_now() == "IN");
    }
    CHECK(edge.is_silent());
    rest.pop_back();
    CHECK(edge.is_silent());
    const owned_fd server = on.accept_soon(listener);
    CHECK(on.peer(server) == on.local(client));
    CHECK(level.is_silent());
}
