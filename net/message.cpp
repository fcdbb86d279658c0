#include <cove/net/message.hpp>

#include <algorithm>
#include <new>

namespace cove {

message::message(std::initializer_list<std::string_view> parts) {
    std::size_t size = 0;
    for (const std::string_view part : parts) size += part.size();
    shared_ = ::new (::operator new(sizeof(header) + size)) header{1, size};
    char* end = reinterpret_cast<char*>(shared_ + 1);
    for (const std::string_view part : parts) end = std::copy(part.begin(), part.end(), end);
}

void message::destroy() noexcept { ::operator delete(shared_); }

}  // namespace cove
