import { useEffect, useRef, useState } from 'preact/hooks';
import { library } from '../chat/library.ts';
import { useT } from '../i18n/i18n.ts';
import { Dialog } from './dialog.tsx';
import { addFiles } from './drafts.ts';
import { Icon } from './icons.tsx';

/// The desktop's camera: what it sees, and a button that takes it as a picture.
export function CameraDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const video = useRef<HTMLVideoElement>(null);
  const [state, setState] = useState<'asking' | 'live' | 'refused'>('asking');
  useEffect(() => {
    let stream: MediaStream | null = null;
    let closed = false;
    const stopAll = () => stream?.getTracks().forEach((track) => track.stop());
    navigator.mediaDevices
      .getUserMedia({ video: { width: { ideal: 1920 } } })
      .then((opened) => {
        stream = opened;
        if (closed || !video.current) return stopAll();
        video.current.srcObject = opened;
      })
      .catch(() => setState('refused'));
    return () => {
      closed = true;
      stopAll();
    };
  }, []);
  const shoot = () => {
    const from = video.current;
    if (!from) return;
    const canvas = document.createElement('canvas');
    canvas.width = from.videoWidth;
    canvas.height = from.videoHeight;
    canvas.getContext('2d')?.drawImage(from, 0, 0);
    canvas.toBlob(
      (blob) => {
        if (blob)
          void addFiles(library.get().openId, [
            new File([blob], 'camera.jpg', { type: 'image/jpeg' }),
          ]);
        onClose();
      },
      'image/jpeg',
      0.95,
    );
  };
  return (
    <Dialog title={t('camera')} class="camera" onClose={onClose}>
      {state === 'refused' ? (
        <p>{t('cameraRefused')}</p>
      ) : (
        // Before its first image a camera has no size, and a picture of it could not be made.
        <video ref={video} autoplay muted playsInline onLoadedData={() => setState('live')} />
      )}
      <div class="dialog-actions">
        <button type="button" class="button primary" disabled={state !== 'live'} onClick={shoot}>
          <Icon name="camera" size={16} />
          {t('takePicture')}
        </button>
      </div>
    </Dialog>
  );
}
