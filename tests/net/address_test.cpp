#include <cove/net/address.hpp>

#include <cove/runtime/error.hpp>

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>
#include <string_view>
#include <system_error>

using cove::address;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

std::string error_of(std::string_view text) {
    try {
        return "no error: " + address::parse(text).to_string();
    } catch (const std::system_error& error) {
        CHECK(error.code() == cove::errc::invalid_address);
        CHECK(error.code() == std::errc::invalid_argument);
        return error.what();
    }
}

// What the message says where, without the text that it repeats.
std::string reason(std::string_view text) {
    const std::string message = error_of(text);
    const std::string start = "\"" + std::string(text) + "\", ";
    const std::string end = ": not an address";
    CHECK(message.starts_with(start));
    CHECK(message.ends_with(end));
    if (message.size() < start.size() + end.size()) return message;
    return message.substr(start.size(), message.size() - start.size() - end.size());
}

}  // namespace

TEST_CASE("every form that parse reads is printed so that parse reads it") {
    struct form {
        const char* text;
        const char* printed;
        int family;
        std::uint16_t port;
    };
    for (const form& each : {
             form{":8080", "[::]:8080", AF_INET6, 8080},
             form{"127.0.0.1:8080", "127.0.0.1:8080", AF_INET, 8080},
             form{"localhost:8080", "127.0.0.1:8080", AF_INET, 8080},
             form{"0.0.0.0:0", "0.0.0.0:0", AF_INET, 0},
             form{"255.255.255.255:65535", "255.255.255.255:65535", AF_INET, 65535},
             form{"1.2.3.4:00080", "1.2.3.4:80", AF_INET, 80},
             form{"[::1]:8080", "[::1]:8080", AF_INET6, 8080},
             form{"[::]:0", "[::]:0", AF_INET6, 0},
             form{"[2001:DB8:0:0::1]:443", "[2001:db8::1]:443", AF_INET6, 443},
             form{"[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1", AF_INET6, 1},
             form{"[1111:2222:3333:4444:5555:6666:7777:8888]:1", "[1111:2222:3333:4444:5555:6666:7777:8888]:1",
                  AF_INET6, 1},
             form{"[fe80::1%2]:8080", "[fe80::1%2]:8080", AF_INET6, 8080},
             form{"[fe80::1%4294967295]:8080", "[fe80::1%4294967295]:8080", AF_INET6, 8080},
             form{"/run/chat.sock", "/run/chat.sock", AF_UNIX, 0},
             form{"/", "/", AF_UNIX, 0},
             form{"/a:80", "/a:80", AF_UNIX, 0},
             form{"unix:chat.sock", "unix:chat.sock", AF_UNIX, 0},
             form{"unix:/run/chat.sock", "/run/chat.sock", AF_UNIX, 0},
             form{"unix:@not-abstract", "unix:@not-abstract", AF_UNIX, 0},
             form{"unix:unix:x", "unix:unix:x", AF_UNIX, 0},
             form{"@name", "@name", AF_UNIX, 0},
             form{"@@", "@@", AF_UNIX, 0},
         }) {
        CAPTURE(each.text);
        const address parsed = address::parse(each.text);
        CHECK(parsed.to_string() == each.printed);
        CHECK(parsed.family() == each.family);
        CHECK(parsed.port() == each.port);
        const address again = address::parse(parsed.to_string());
        CHECK(again == parsed);
        CHECK(again.to_string() == each.printed);
    }
}

TEST_CASE("an error names the text, the character and what is wrong there") {
    CHECK(error_of("127.0.0.1") == "\"127.0.0.1\", character 10: a colon and a port are missing: not an address");
    CHECK(reason("") == "character 1: a colon and a port are missing");
    CHECK(reason("8080") == "character 5: a colon and a port are missing");
    CHECK(reason("127.0.0.1:") == "character 10: a port has to follow the colon");
    CHECK(reason(":") == "character 1: a port has to follow the colon");
    CHECK(reason("127.0.0.1:80x") == "character 13: a port is a decimal number");
    CHECK(reason("127.0.0.1:80 ") == "character 13: a port is a decimal number");
    CHECK(reason("127.0.0.1: 80") == "character 11: a port is a decimal number");
    CHECK(reason("127.0.0.1:-1") == "character 11: a port is a decimal number");
    CHECK(reason("127.0.0.1:+1") == "character 11: a port is a decimal number");
    CHECK(reason("127.0.0.1:65536") == "character 11: the port is above 65535");
    CHECK(reason("127.0.0.1:4294967376") == "character 11: the port is above 65535");
    CHECK(reason("[::1]:65536") == "character 7: the port is above 65535");
    for (const char* host :
         {"256.0.0.1", "1.2.3", "1.2.3.4.5", "example.com", "1.2.3.4 ", " 1.2.3.4", "LOCALHOST", "1.2.3.-4"})
        CHECK(reason(host + ":80"s) ==
              "character 1: \""s + host +
                  "\" is no IPv4 address (four numbers of 0 to 255), and names are not resolved here");
    CHECK(reason("::1:80") == "character 1: an IPv6 address is written in brackets, as in [::1]:8080");
    CHECK(reason("[::1:80") == "character 8: a ']' is missing");
    CHECK(reason("[::1]") == "character 6: a colon and a port have to follow the ']'");
    CHECK(reason("[::1]80") == "character 6: a colon and a port have to follow the ']'");
    CHECK(reason("[::1]]:80") == "character 6: a colon and a port have to follow the ']'");
    CHECK(reason("[::1]:") == "character 6: a port has to follow the colon");
    CHECK(reason("[]:80") == "character 2: \"\" is no IPv6 address");
    CHECK(reason("[::1::]:80") == "character 2: \"::1::\" is no IPv6 address");
    CHECK(reason("[127.0.0.1]:80") == "character 2: \"127.0.0.1\" is no IPv6 address");
    for (const char* scope : {"", "0", "eth0", "-1", "2x", "4294967296", "2%3"})
        CHECK(reason("[fe80::1%"s + scope + "]:80") ==
              "character 10: after the % stands the number of a network interface");
    CHECK(reason("@") == "character 2: a path has to follow");
    CHECK(reason("unix:") == "character 6: a path has to follow");
}

TEST_CASE("a Unix path has at most 107 characters") {
    for (const std::string& start : {"/"s, "unix:"s, "@"s}) {
        const std::size_t counted = start == "/" ? 1 : 0;
        const std::string longest = start + std::string(107 - counted, 'x');
        const address parsed = address::parse(longest);
        CHECK(parsed.to_string() == longest);
        CHECK(parsed.size() == 110);
        CHECK(reason(longest + 'x') ==
              "character " + std::to_string(longest.size() + 1) + ": a Unix path has at most 107 characters");
    }
}

TEST_CASE("an abstract name may hold zeros") {
    const address parsed = address::parse("@a\0b"sv);
    CHECK(parsed.to_string() == "@a\0b"s);
    CHECK(parsed == address::parse(parsed.to_string()));
    CHECK(parsed != address::parse("@a"));
    CHECK(parsed.size() == offsetof(sockaddr_un, sun_path) + 4);
}

TEST_CASE("a zero in any other address is refused") {
    for (const std::string_view text :
         {"/run/a\0b"sv, "unix:a\0"sv, "127.0.0.1:80\0"sv, "\0"sv, "\0:80"sv, "127.0.0.1\0"sv, "[fe80::1%1\0]:80"sv})
        CHECK_THROWS_AS((void)address::parse(text), std::system_error);
}

// inet_pton stops at the zero, and what follows it goes unread.
TEST_CASE("a zero within the host of an IP address is refused") {
    for (const std::string_view text :
         {"127.0.0.1\0.evil:80"sv, "127.0.0.1\0:80"sv, "[::1\0]:80"sv, "[::1\0zz%1]:80"sv})
        CHECK_THROWS_AS((void)address::parse(text), std::system_error);
}

// what() ends at the zero that it quotes.
TEST_CASE("a message about a zero says what is wrong") {
    CHECK(error_of("/run/a\0b"sv).find("a path contains no zero") != std::string::npos);
    CHECK(error_of("127.0.0.1:8\0"sv).find("a port is a decimal number") != std::string::npos);
}

TEST_CASE("very long texts are refused") {
    for (const std::size_t size : {std::size_t{64}, std::size_t{1000}, std::size_t{1'000'000}}) {
        const std::string many(size, '1');
        for (const std::string& text : {many, many + ":80", "127.0.0.1:" + many, '[' + many + "]:80",
                                        "[::1%" + many + "]:80", "unix:" + std::string(size + 100, 'x')})
            CHECK_THROWS_AS((void)address::parse(text), std::system_error);
    }
    CHECK(address::parse("127.0.0.1:" + std::string(1'000'000, '0') + "80").port() == 80);
}

TEST_CASE("addresses are equal when family, host, scope, path and port are") {
    CHECK(address::parse("127.0.0.1:1") == address::parse("localhost:1"));
    CHECK(address::parse(":1") == address::parse("[::]:1"));
    CHECK(address() == address());
    const address all[] = {address::parse("127.0.0.1:1"),
                           address::parse("127.0.0.1:2"),
                           address::parse("127.0.0.2:1"),
                           address::parse("[::1]:1"),
                           address::parse("[::2]:1"),
                           address::parse("[::1%1]:1"),
                           address::parse("[::1%2]:1"),
                           address::parse("/a"),
                           address::parse("unix:a"),
                           address::parse("@a"),
                           address::parse("/b"),
                           address::parse("/aa"),
                           address::parse("[::ffff:127.0.0.1]:1"),
                           address()};
    for (const address& left : all)
        for (const address& right : all) CHECK((left == right) == (&left == &right));
}

TEST_CASE("with_port changes the port and nothing else, and nothing where there is none") {
    CHECK(address::parse("1.2.3.4:5").with_port(65535) == address::parse("1.2.3.4:65535"));
    CHECK(address::parse("[fe80::1%2]:5").with_port(0) == address::parse("[fe80::1%2]:0"));
    CHECK(address::parse("/a").with_port(80) == address::parse("/a"));
    CHECK(address().with_port(80) == address());
}

TEST_CASE("is_any is true of the wildcard addresses alone") {
    for (const char* text : {":80", "[::]:0", "0.0.0.0:80"}) CHECK(address::parse(text).is_any());
    for (const char* text : {"127.0.0.1:0", "[::1]:0", "0.0.0.1:0", "/a", "@a"}) CHECK(!address::parse(text).is_any());
    CHECK(!address().is_any());
}

TEST_CASE("no address has no family, no size and a name that is none") {
    const address none;
    CHECK(none.family() == AF_UNSPEC);
    CHECK(none.size() == 0);
    CHECK(none.port() == 0);
    CHECK(none.to_string() == "unnamed");
}

TEST_CASE("what the kernel reports is read as it is, an unnamed and an unterminated Unix path as well") {
    sockaddr_un native{};
    native.sun_family = AF_UNIX;
    const auto* bytes = reinterpret_cast<const sockaddr*>(&native);
    CHECK(address(bytes, sizeof(sa_family_t)).to_string() == "unnamed");
    CHECK(address(bytes, sizeof(sa_family_t)).family() == AF_UNIX);
    std::memset(native.sun_path, 'x', sizeof native.sun_path);
    CHECK(address(bytes, sizeof native).to_string() == "unix:" + std::string(108, 'x'));
    std::strcpy(native.sun_path, "/run/x");
    CHECK(address(bytes, offsetof(sockaddr_un, sun_path) + 7) == address::parse("/run/x"));
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(80);
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(address(reinterpret_cast<const sockaddr*>(&four), sizeof four) == address::parse("127.0.0.1:80"));
}
