#include <cove/net/message.hpp>

#include <cove/runtime/frames.hpp>

#include <algorithm>
#include <new>

namespace cove {

message::message(std::initializer_list<std::string_view> parts) {
    std::size_t size = 0;
    for (const std::string_view part : parts) size += part.size();
    shared_ = ::new (allocate_recycled(sizeof(header) + size)) header{1, size};
    char* end = reinterpret_cast<char*>(shared_ + 1);
    for (const std::string_view part : parts) end = std::copy(part.begin(), part.end(), end);
}

void message::destroy() noexcept { free_recycled(shared_, sizeof(header) + shared_->size); }

}  // namespace cove
