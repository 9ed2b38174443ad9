@if (true)
view v1 @include('part')
@endif
