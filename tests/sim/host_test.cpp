// A host's addresses, descriptors, signals and pauses.

#include <cove/net/sim/host.hpp>

#include <cove/net/serve.hpp>
#include <cove/runtime/signals.hpp>
#include <cove/runtime/timeout.hpp>

#include <support/sim.hpp>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <string>
#include <vector>

using cove::task;
using cove::tcp_stream;
using cove::sim::host_options;
using namespace std::chrono_literals;

namespace {

task<> serve_echo() { return cove::serve(cove::tcp_listener::bind(":80"), test::echo); }

task<> for_ever() { co_await cove::sleep_for(cove::duration::max()); }

// Says hello to an echo server, and returns what comes back.
task<std::string> hello_to(std::string where) {
    auto peer = co_await tcp_stream::connect(where);
    co_await peer.write("hello");
    peer.shutdown_write();
    auto reading = test::read_to_end(peer);
    co_return co_await reading;
}

}  // namespace

TEST_CASE("hosts have an address each, of both families, counted from the first host on") {
    cove::sim::world world(1);
    auto& first = world.host("first");
    CHECK(first.name() == "first");
    CHECK(first.address() == "10.0.0.1");
    CHECK(first.address(8080) == "10.0.0.1:8080");
    for (int i = 2; i < 251; ++i) world.host("other");
    auto& far = world.host("far");
    CHECK(far.address(80) == "10.0.1.1:80");
}

TEST_CASE("a server is reached at all of its addresses") {
    cove::sim::world world(1);
    host_options options;
    options.addresses = {"192.168.0.7", "fd01::7"};
    world.host("server", serve_echo, options);
    std::vector<std::string> answers;
    const auto main = [&]() -> task<> {
        for (const char* where : {"10.0.0.1:80", "[fd00::1]:80", "192.168.0.7:80", "[fd01::7]:80"}) {
            auto asking = hello_to(where);
            answers.push_back(co_await asking);
        }
    };
    world.client("client", main);
    world.run();
    CHECK(answers == std::vector<std::string>(4, "hello"));
}

TEST_CASE("an address that nobody has does not answer, and one that is none is refused at once") {
    cove::sim::world world(1);
    const auto main = []() -> task<> {
        const cove::time_point start = cove::now();
        auto ending = test::ending_of(tcp_stream::connect("10.9.9.9:80"));
        const std::error_code error = co_await ending;
        CHECK(error == std::errc::timed_out);
        CHECK(cove::now() - start >= 127s);
    };
    world.client("client", main);
    world.run();
    host_options options;
    options.addresses = {"no address"};
    CHECK_THROWS_AS(world.host("bad", {}, options), std::system_error);
}

TEST_CASE("a connection comes from the address that its family has, and goes to where it was sent") {
    cove::sim::world world(1);
    std::vector<std::string> seen;
    const auto serve = [&]() -> task<> {
        auto listener = cove::tcp_listener::bind(":80");
        for (;;) {
            auto peer = co_await listener.accept();
            seen.push_back(peer.peer_address().with_port(0).to_string() + " " + peer.local_address().to_string());
        }
    };
    world.host("server", serve);
    const auto main = []() -> task<> {
        for (const char* where : {"10.0.0.1:80", "[fd00::1]:80"}) {
            auto peer = co_await tcp_stream::connect(where);
            char some[16];
            co_await peer.read(some);
        }
    };
    world.client("client", main);
    world.run();
    REQUIRE(seen.size() == 2);
    CHECK(seen[0] == "[::ffff:10.0.0.2]:0 [::ffff:10.0.0.1]:80");
    CHECK(seen[1] == "[fd00::2]:0 [fd00::1]:80");
}

TEST_CASE("a process has as many descriptors as it may have, stdin, stdout and stderr among them") {
    cove::sim::world world(1);
    auto& machine = world.host("machine");
    machine.set_descriptors_max(6);
    cove::kernel& os = machine.os();
    std::vector<int> fds;
    for (int fd; (fd = os.create_event()) >= 0;) fds.push_back(fd);
    CHECK(fds == std::vector<int>{3, 4, 5});
    CHECK(os.create_event() == -EMFILE);
    CHECK(os.close(4) == 0);
    CHECK(os.create_event() == 4);
    machine.set_descriptors_max(7);
    CHECK(os.create_event() == 6);
}

TEST_CASE("a server that has no descriptor left serves all the same, one after the other") {
    cove::sim::world world(1);
    host_options options;
    options.descriptors_max = 8;
    auto& server = world.host("server", serve_echo, options);
    for (int i = 0; i < 20; ++i) {
        world.client("client", [&server]() -> task<> {
            auto asking = hello_to(server.address(80));
            const std::string answer = co_await asking;
            CHECK(answer == "hello");
        });
    }
    world.run();
}

TEST_CASE("a program that finds no descriptors at its start ends with that error") {
    cove::sim::world world(1);
    host_options options;
    options.descriptors_max = 3;
    world.client("poor", for_ever, options);
    CHECK(test::contains(test::failure_of(world), "poor ended with: eventfd"));
}

TEST_CASE("a paused process stands still, while its kernel goes on") {
    cove::sim::world world(1);
    auto& server = world.host("server", serve_echo);
    cove::duration took{};
    const auto main = [&]() -> task<> {
        server.pause(10s);
        co_await cove::sleep_for(1ms);
        auto peer = co_await tcp_stream::connect(server.address(80));  // by the kernel
        const cove::time_point start = cove::now();
        co_await peer.write("x");
        char some[16];
        co_await peer.read(some);
        took = cove::now() - start;
    };
    world.client("client", main);
    world.run();
    CHECK(took > 9s);
    CHECK(took < 11s);
}

TEST_CASE("pauses overlap, and the longest counts; one that never ends is a hang") {
    cove::sim::world world(1);
    cove::sim::host* client = nullptr;
    cove::duration woken{};
    const auto main = [&]() -> task<> {
        client->pause(10s);
        client->pause(2s);
        co_await cove::sleep_for(1s);
        woken = world.time();
    };
    client = &world.client("client", main);
    world.run();
    CHECK(woken >= 10s);
    CHECK(woken < 10s + 5ms);

    cove::sim::world other(1);
    auto& stuck = other.client("stuck", []() -> task<> { co_await cove::sleep_for(1s); });
    other.after(5ms, [&] { stuck.pause(cove::duration::max()); });
    CHECK(test::contains(test::failure_of(other), "nothing can happen any more"));
}

TEST_CASE("a process that is started again is not paused, as the one before it was") {
    cove::sim::world world(1);
    auto& server = world.host("server", serve_echo);
    std::string answer;
    const auto main = [&]() -> task<> {
        server.pause(1h);
        co_await cove::sleep_for(1s);
        server.restart();
        co_await cove::sleep_for(1s);
        auto asking = hello_to(server.address(80));
        answer = co_await asking;
        CHECK(world.time() < 3s);
    };
    world.client("client", main);
    world.run();
    CHECK(answer == "hello");
    CHECK(server.starts() == 2);
}

TEST_CASE("SIGTERM and SIGINT end a program in order: its frames are destroyed, and it ends its connections") {
    for (const int signo : {SIGTERM, SIGINT}) {
        cove::sim::world world(1);
        bool unwound = false;
        const auto serve = [&]() -> task<> {
            struct at_end {
                bool& done;
                ~at_end() { done = true; }
            } const guard{unwound};
            auto serving = serve_echo();
            co_await serving;
        };
        auto& server = world.host("server", serve);
        const auto main = [&]() -> task<> {
            auto peer = co_await tcp_stream::connect(server.address(80));
            co_await cove::sleep_for(10ms);
            server.signal(signo);
            auto reading = test::read_to_end(peer);
            const std::string rest = co_await reading;
            CHECK(rest.empty());
            co_await cove::sleep_for(10ms);
            CHECK(!server.is_running());
            CHECK(unwound);
            auto ending = test::ending_of(tcp_stream::connect(server.address(80)));
            const std::error_code error = co_await ending;
            CHECK(error == std::errc::connection_refused);
        };
        world.client("client", main);
        world.run();
        CHECK(unwound);
    }
}

TEST_CASE("a signal that nobody has subscribed to ends the process, if it is one that does so") {
    for (const int signo : {SIGKILL, SIGUSR1}) {
        cove::sim::world world(1);
        auto& server = world.host("server", serve_echo);
        world.after(10ms, [&] { server.signal(signo); });
        bool running = false;
        const auto main = [&]() -> task<> {
            co_await cove::sleep_for(20ms);
            running = server.is_running();
        };
        world.client("client", main);
        world.run();
        CHECK(running == (signo == SIGUSR1));
    }
}

TEST_CASE("a second SIGTERM ends a program that does not end by the first") {
    cove::sim::world world(1);
    const auto stubborn = []() -> task<> { co_await cove::shield(cove::sleep_for(24h)); };
    auto& server = world.host("server", stubborn);
    world.after(10ms, [&] { server.signal(SIGTERM); });
    world.after(20ms, [&] { server.signal(SIGTERM); });
    bool after_first = false;
    const auto main = [&]() -> task<> {
        co_await cove::sleep_for(15ms);
        after_first = server.is_running();
        co_await cove::sleep_for(15ms);
        CHECK(!server.is_running());
    };
    world.client("client", main);
    world.run();
    CHECK(after_first);
}

TEST_CASE("a program gets the signals it has asked for") {
    cove::sim::world world(1);
    std::vector<int> got;
    const auto serve = [&]() -> task<> {
        cove::signal_set wanted{SIGUSR1, SIGUSR2};
        for (int i = 0; i < 2; ++i) got.push_back(co_await wanted.next());
    };
    auto& server = world.host("server", serve);
    world.after(10ms, [&] { server.signal(SIGUSR2); });
    world.after(20ms, [&] { server.signal(SIGUSR1); });
    const auto main = [&]() -> task<> {
        co_await cove::sleep_for(30ms);
        CHECK(!server.is_running());
    };
    world.client("client", main);
    world.run();
    CHECK(got == std::vector<int>{SIGUSR2, SIGUSR1});
}

TEST_CASE("resetting a host's connections is told to both of their ends, and connections made after it live") {
    cove::sim::world world(1);
    auto& server = world.host("server", serve_echo);
    std::error_code error;
    std::string answer;
    const auto main = [&]() -> task<> {
        auto peer = co_await tcp_stream::connect(server.address(80));
        server.reset_connections();
        char some[16];
        auto ending = test::ending_of(peer.read(some));
        error = co_await ending;
        auto asking = hello_to(server.address(80));
        answer = co_await asking;
    };
    world.client("client", main);
    world.run();
    CHECK(error == std::errc::connection_reset);
    CHECK(answer == "hello");
}

TEST_CASE("a machine has one processor") {
    cove::sim::world world(1);
    cove::kernel& os = world.host("machine").os();
    int numbers[2] = {-1, -1};
    CHECK(os.processors(numbers, 2) == 1);
    CHECK(numbers[0] == 0);
    CHECK(os.pin(0) == 0);
    CHECK(os.pin(1) == -EINVAL);
    CHECK(os.unpin() == -1);
}
