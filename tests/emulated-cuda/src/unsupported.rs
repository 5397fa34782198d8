//! Functions that cust or candle link against and no test calls.

macro_rules! unsupported {
    ($($name:ident)*) => { $(
        /// Answers `CUDA_ERROR_NOT_SUPPORTED`.
        #[unsafe(no_mangle)]
        pub extern "C" fn $name() -> u32 {
            801
        }
    )* };
}

unsupported! {
    cuArray3DCreate_v2
    cuArray3DGetDescriptor_v2
    cuArrayDestroy
    cuCtxGetApiVersion
    cuCtxGetCacheConfig
    cuCtxGetFlags
    cuCtxGetLimit
    cuCtxGetSharedMemConfig
    cuCtxGetStreamPriorityRange
    cuCtxPopCurrent_v2
    cuCtxPushCurrent_v2
    cuCtxSetCacheConfig
    cuCtxSetLimit
    cuCtxSetSharedMemConfig
    cuDestroyExternalMemory
    cuDevicePrimaryCtxReset_v2
    cuExternalMemoryGetMappedBuffer
    cuFuncSetCacheConfig
    cuFuncSetSharedMemConfig
    cuGetErrorName
    cuGetErrorString
    cuGraphAddKernelNode
    cuGraphCreate
    cuGraphDebugDotPrint
    cuGraphGetEdges
    cuGraphGetNodes
    cuGraphKernelNodeGetParams
    cuGraphNodeGetType
    cuImportExternalMemory
    cuLinkAddData_v2
    cuLinkComplete
    cuLinkCreate_v2
    cuLinkDestroy
    cuMemAdvise
    cuMemAllocHost_v2
    cuMemAllocManaged
    cuMemAllocPitch
    cuMemFreeHost
    cuMemPrefetchAsync
    cuMemcpy2D_v2
    cuMemcpyAtoH_v2
    cuMemcpyHtoA_v2
    cuMemcpyPeerAsync
    cuMemsetD16Async
    cuMemsetD16_v2
    cuMemsetD32Async
    cuMemsetD32_v2
    cuModuleGetGlobal_v2
    cuModuleLoad
    cuOccupancyAvailableDynamicSMemPerBlock
    cuOccupancyMaxActiveBlocksPerMultiprocessor
    cuOccupancyMaxPotentialBlockSize
    cuStreamGetFlags
    cuStreamGetPriority
    cuSurfObjectCreate
    cuSurfObjectDestroy
    cuSurfObjectGetResourceDesc
    cuTexObjectCreate
    cuTexObjectDestroy
    cuTexObjectGetResourceDesc
    cuTexObjectGetResourceViewDesc
}
