// Chat server on Asio with callbacks, after Asio's own example: chat_callbacks PORT

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

using asio::ip::tcp;

constexpr std::size_t line_max = 1024, unsent_max = 1024 * 1024;

class member;
using room = std::unordered_set<member*>;
using message = std::shared_ptr<const std::string>;

class member : public std::enable_shared_from_this<member> {
public:
    member(tcp::socket socket, room& members) : socket_(std::move(socket)), room_(members) { room_.insert(this); }
    ~member() { room_.erase(this); }

    void read() {
        socket_.async_read_some(asio::buffer(buffer_) + size_,
                                [self = shared_from_this()](asio::error_code error, std::size_t size) {
                                    error ? self->close() : self->receive(size);
                                });
    }

private:
    void receive(std::size_t size) {
        std::string_view rest(buffer_.data(), size_ + size);
        for (std::size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
            if (end > line_max) return close();
            const auto line = std::make_shared<const std::string>(rest.substr(0, end + 1));
            for (member* each : room_) each->deliver(line);
        }
        if (rest.size() > line_max) return close();
        std::memmove(buffer_.data(), rest.data(), size_ = rest.size());
        read();
    }

    void deliver(const message& line) {
        if (!socket_.is_open()) return;  // closed, its last handler not yet called
        queue_.push_back(line);
        unsent_ += line->size();
        if (unsent_ > unsent_max) return close();
        if (writing_.empty()) write();
    }

    // Sends all that is queued in one operation; what comes meanwhile waits for the next.
    void write() {
        for (const message& line : queue_) writing_.push_back(asio::buffer(*line));
        asio::async_write(socket_, writing_, [self = shared_from_this()](asio::error_code error, std::size_t size) {
            if (error) return self->close();
            self->queue_.erase(self->queue_.begin(), self->queue_.begin() + std::ssize(self->writing_));
            self->writing_.clear();
            self->unsent_ -= size;
            if (!self->queue_.empty()) self->write();
        });
    }

    // Ends the pending operations, whose handlers let go of this member.
    void close() {
        asio::error_code ignored;
        socket_.close(ignored);
    }

    tcp::socket socket_;
    room& room_;
    std::array<char, 16 * 1024> buffer_;
    std::size_t size_ = 0;  // of the unfinished line in the buffer
    std::deque<message> queue_;
    std::vector<asio::const_buffer> writing_;  // the front of the queue
    std::size_t unsent_ = 0;
};

void accept(tcp::acceptor& acceptor, room& members) {
    acceptor.async_accept([&](asio::error_code error, tcp::socket socket) {
        if (!error) {
            socket.set_option(tcp::no_delay(true), error);  // fails for a peer that is gone: reading will tell
            std::make_shared<member>(std::move(socket), members)->read();
        }
        accept(acceptor, members);
    });
}

int main(int argc, char** argv) {
    room members;
    asio::io_context context(1);
    const auto port = static_cast<unsigned short>(std::atoi(argv[argc - 1]));
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), port});  // SO_REUSEADDR, and SOMAXCONN: 4096
    accept(acceptor, members);
    context.run();
}
